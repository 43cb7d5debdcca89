"""Answers of models, by kind, with the score that a person gives: kind -> (scorer, choices, rows of (reference, answer,
score)). None: nobody can say. Ours; the kinds are those that issue trackers of lm-eval, helm, OpenCompass, sglang and
simple-evals complain about, in Chinese and English."""

from __future__ import annotations

from .score_kinds_later import MORE, SECOND_LOOK, THIRD_LOOK, WORDS

Row = tuple[str, str, "float | None"]

NUMBERS: dict[str, list[Row]] = {
    "words behind the number": [
        ("72", "The answer is 72, in total, so the farmer earns that much.", 1), ("72", ("The final answer is 72 "
                                                                                        "dollars, as computed above "
                                                                                        "in step 3."), 1),
        ("15", "答案是15，这就是小明一共买的苹果数。", 1), ("15", "所以答案为15个（注意第2步的单位）。", 1), ("60", ("The answer: 60 minutes, which is "
                                                                                   "1 hour."), 1),
        ("40", ("Therefore she has 40 apples left after giving 12 to each of 5 "
               "friends."), 1), ("60", "3000÷50=60，因此需要60分钟才能输入3000个汉字。", 1),
        ("64", "960÷15=64，因此每天修64米，才能在15天内完成剩余的960米。", 1), ("9", ("500 ÷ 60 ≈ 8.33, so the answer is 9 wagons to "
                                                                 "carry 500 tons."), 1),
        ("891", "答案：3台拖拉机3天要用柴油891千克。", 1), ("77", "308÷4=77，所以用308元可以买77根跳绳。", 1), ("891", "答案：3台拖拉机3天要用柴油890千克。", 0),
    ],
    "thousands": [
        ("9500", r"\boxed{$9{,}500}", 1), ("9500", r"\boxed{9\,500}", 1), ("9500", "9 500", 1), ("9500", "9'500", 1),
        ("8000", "The answer is $8,000.", 1),
        ("1234567", "答案：1,234,567", 1), ("1234567", "答案：1，234，567元", 1), ("1234567", "1 234 567", 1),
        ("12000", "It costs US$12,000.00.", 1), ("12000", "12.000,00 €", 1),
        ("12000", "￥12,000", 1), ("1000000", "1 000 000", 1), ("1000", "1,000", 1), ("1", "1,000", 0),
        ("1000", "1.000", 0), ("8000", "The answer is $80,000.", 0),
    ],
    "decimals that say nothing": [("29", "the total cost is $29.00.", 1), ("29", "29.0", 1), ("29", "$29.50", 0),
    ("3", "答案：3.00元", 1), ("0.5", ".5", 1), ("0.5", "0.50", 1), ("7", "7.", 1)],
    "the model goes on": [
        ("18", ("9 * 2 = 18\n#### 18\n\nQuestion: A robe takes 2 bolts. How many?\nAnswer: "
               "2+1=3\n#### 3"), 1), ("18", "#### 18\n\nQ: How old is Tom?\nA: 7", 1),
        ("18", "答案：18\n\n问题：小红有5个苹果，吃了2个，还剩几个？\n答案：3", 1), ("18", ("The answer is 18.\n\nUser: And now with "
                                                                  "5?\nAssistant: The answer is 30."), 1),
        ("3", ("9 * 2 = 18\n#### 18\n\nQuestion: A robe takes 2 bolts. How many?\nAnswer: "
              "2+1=3\n#### 3"), 0), ("18", "So 18.\n\nHuman: thanks, what is 2+2?\n\nAssistant: 4", 1),
        ("18", "答案是18。\n\n用户：那么20加5呢？\n助手：25", 1), ("18", "The answer is 18.<|im_end|>\n<|im_start|>user\n5+5?", 1),
        ("18", "#### 18</s>[INST] 4+4 [/INST] 8", 1),
    ],
    "range": [
        ("15", "The answer is 10-15 minutes, so at most 15.", 0), ("15", "答案：10~15分钟", 0), ("15", "10到15之间", 0),
        ("15", "The answer is between 10 and 15.", 0), ("15", "10 to 15 minutes", 0),
        ("10", "大约10至15个", 0), ("15", "The answer is 10–15.", 0), ("5", "15-10=5", 1),
        ("5", "From 10 to 15 there are 5 steps, so the answer is 5.", 1), ("3", "从2019年到2022年，共3年。", 1),
    ],
    "Chinese numerals": [
        ("120", "答案：一百二", 1), ("120", "一百二十", 1), ("102", "一百零二", 1), ("250", "共二百五十元整", 1), ("20", "廿", 1),
        ("23", "廿三", 1), ("38", "卅八", 1), ("2.5", "答案：两个半小时", 1),
        ("15000", "一万五", 1), ("15000", "一万五千", 1), ("10500", "一万零五百", 1), ("3500", "三千五", 1), ("3005", "三千零五", 1),
        ("12345", "壹万贰仟叁佰肆拾伍元整", 1), ("0.5", "半个", 1), ("0.5", "一半", 1),
        ("1.5", "一个半", 1), ("3.5", "三年半", 1), ("300000000", "三亿", 1), ("2000000", "两百万", 1), ("12", "十二只", 1),
        ("2", "两只", 1), ("2", "俩", 1), ("3", "仨", 1), ("30", "三十多", 0),
        ("15000", "一万五千三", 0), ("2000", "贰仟元", 1), ("8", "答案：八。", 1), ("100", "一百分", 1), ("110", "一百一", 1),
        ("6.25", "六点二五", 1), ("-6", "负六", 1), ("1", "第一步：三加四。所以一共是七个。", 0), ("7", "第一步：三加四。所以一共是七个。", 1),
        ("7", "一共有七个苹果", 1), ("250000", "二十五万", 1), ("205", "两百零五", 1), ("10", "十", 1), ("0", "零", 1), ("0", "〇", 1),
        ("2008", "二〇〇八年", 1),
    ],
    "figures and Chinese units": [
        ("12000", "答案：1万2千元", 1), ("15000", "1万5", 1), ("15000", "1.5万", 1), ("350000000", "3亿5000万", 1),
        ("350000000", "3.5亿", 1), ("120000", "12万", 1), ("1200", "1千2百", 1), ("1200", "1千2", 1), ("10500", "1万零5百", 1),
        ("30000", "3萬", 1), ("123456", "12万3456", 1), ("3000000", "300万人", 1), ("5", "5千克", 1), ("5", "5千米", 1),
        ("5", "5百米", 0), ("500", "5百米", 1), ("1.5", "1.5千瓦", 1), ("2.5", "2个半小时", 1), ("12000", "1万2千5百元", 0),
    ],
    "fractions": [
        ("3/4", r"\(\dfrac{3}{4}\)", 1), ("3/4", "四分之三", 1), ("3/4", r"\frac34", 1), ("3/4", "3/4", 1),
        ("3/4", "0.75", 1), ("3/4", "75%", 1), ("3/4", "¾", 1), ("7/2", r"3\frac{1}{2}", 1), ("7/2", "3½", 1),
        ("7/2", "3 1/2", 1), ("7/2", "3又1/2", 1),
        ("7/2", "三又二分之一", 1), ("1.5", "答案：一又二分之一", 1), ("1.5", "1又2分之1", 1), ("3/4", "4分之3", 1),
        ("2/3", r"\boxed{\tfrac{2}{3}}", 1), ("2/3", r"$\frac{2}{3}$ of the cake", 1), ("2/3", "6/9", 1),
        ("2/3", "0.6667", 0), ("-1/2", r"-\frac{1}{2}", 1),
        ("-1/2", r"\frac{-1}{2}", 1), ("3/4", "4/3", 0), ("1/2", "one half", 1), ("3/4", "three quarters", 1),
        ("1/8", "1/8", 1), ("1/8", "因此，种西红柿的面积占这块菜地的1/8。", 1), ("2/3", r"\boxed{\frac 2 3}", 1), ("0.25", "1/4", 1),
    ],
    "percent": [
        ("25", r"\boxed{25\%}", 1), ("25%", "25 percentage points", 1), ("25%", "百分之二十五", 1), ("25%", "25％", 1),
        ("25%", "0.25", 1), ("25%", "1/4", 1), ("25", "百分之25", 1), ("25%", "25", 1), ("25%", "2.5%", 0),
        ("0.25", "25 per cent", 1),
        ("20%", r"慢了$\frac{1}{5}$，即百分之$20$。", 1), ("12.5", "12.5 %", 1), ("150%", "1.5", 1), ("80%", "八成", 1),
        ("0.8", "打八折", 1), ("8.5%", "百分之八点五", 1), ("25%", "25 pct", 1), ("25%", "2500%", 0),
    ],
    "units": [
        ("1500", "答案：1.5千米，也就是1500米", 1), ("3", "答案：3m²", 1), ("3", "3 m^2", 1), ("3", "3 m2", 1),
        ("9.8", "9.8 m/s^2", 1), ("9.8", "9.8 米/秒²", 1), ("42", r"\boxed{42\ \mathrm{cm}^2}", 1),
        ("42", r"\boxed{42 \text{ cm}^3}", 1), ("42", r"42\,\text{km/h}", 1),
        ("36", "36°", 1), ("36", "36°C", 1), ("36", r"36^\circ", 1), ("36", "36 degrees", 1), ("5", "5kg", 1),
        ("5", "5公斤", 1), ("126.3", "答案：126.3千克/天。", 1), ("25", "25元/个", 1), ("2", "2 H2O molecules", 1),
        ("24", "24cm³", 1), ("100", "100km/h", 1), ("7", "7 days a week", 1),
        ("12", "12 apples (3 boxes of 4)", 1), ("12", "12个（3盒，每盒4个）", 1), ("30", "30 mph", 1), ("5", "5 m x", 1),
    ],
    "time of day and ratios are no numbers": [("9.5", "答案：9:30", 0), ("30", "答案：9:30", 0),
    ("9", "The answer is 9:30.", 0), ("2", "答案：3:2", 0), ("3", "3：2", 0), ("30", "9点30分", 0), ("2024", "2024-05-01", 0),
    ("1", "The answer is 2024/05/01.", 0), ("192", "192.168.0.1", 0)],
    "scientific": [
        ("602000000000000000000000", r"$6.02 \times 10^{23}$", 1), ("602000000000000000000000", "6.02e23", 1),
        ("602000000000000000000000", "6.02 x 10^23", 1), ("602000000000000000000000", "6.02×10²³", 1),
        ("1000000", "10^6", 1), ("1000000", r"10^{6}", 1), ("1000000", "10⁶", 1),
        ("1000000", "10**6", 1), ("0.003", r"3 \times 10^{-3}", 1), ("0.003", "3×10⁻³", 1), ("0.003", "3e-3", 1),
        ("0.003", "3*10^-3", 1), ("0.001", "10^{-3}", 1), ("1000000", "10^5", 0), ("300000000", r"3\cdot10^8 m/s", 1),
        ("6", "10^6", 0), ("81", "3^4", 1), ("81", "3^4 = 81", 1), ("8", r"2^3", 1), ("1024", r"$2^{10}$", 1),
    ],
    "bold and headings": [
        ("42", "**答案：42**", 1), ("42", "### Final Answer\n\n42", 1), ("42", "**42**", 1), ("42", "## 答案\n\n**42**", 1),
        ("42", "__Answer__: 42", 1), ("42", "*Answer:* **42**", 1), ("42", "> 42", 1), ("42", "`42`", 1),
        ("42", "Final answer\n42", 1), ("42", "Answer\n------\n42", 1), ("42", "【答案】42", 1),
        ("42", "【答案】42\n【解析】由题意得2+40=42，再减1得41。", 1),
        ("42", "[答案] 42", 1), ("42", "<answer>42</answer>", 1), ("42", '{"answer": 42}', 1),
        ("42", '{"reasoning": "6*7, 3 steps", "answer": "42"}', 1), ("42", "<answer>\n41\n</answer>", 0),
        ("42", "| item | 42 |", 1), ("42", "ANSWER: 42", 1), ("42", "A: 42", 1), ("42", "结果：42", 1),
        ("42", "Result: 42", 1), ("42", "最终结果是42。", 1), ("42", "最后答案等于42", 1),
    ],
    "boxed": [
        ("42", r"\[\boxed{x = 42}\]", 1), ("42", r"$\boxed{42}$. We used 3 steps and 2 lemmas.", 1),
        ("42", r"\boxed{\text{42}}", 1), ("42", r"\boxed{\$42}", 1), ("42", r"\boxed{\mathbf{42}}", 1),
        ("42", r"\boxed{41} No wait: \boxed{42}", 1), ("42", r"\fbox{42}", 1), ("42", r"$\boxed{42", 1),
        ("42", r"\boxed {42}", 1), ("42", r"\boxed{x+y = 40+2 = 42}", 1),
        ("42", r"\boxed{42\text{ apples}}", 1), ("42", r"\boxed{41}", 0), ("42", r"\boxed{}", 0),
        ("3", r"\boxed{x=3}", 1), ("3", r"\boxed{x=3, y=4}", 0), ("0.5", r"\boxed{\frac{1}{2}}", 1),
        ("42", r"The answer is \boxed{42}. #### 7", 1),
    ],
    "dates and notes at the end": [
        ("7", "The answer is 7. (Checked on 2024-05-01.)", 1), ("7", "所以小明有7个苹果。希望这2个步骤能帮到你！", 1),
        ("7", "So he has 7 apples. I hope these 2 steps help!", 1), ("7", "所以一共7个。如果您还有第2个问题，请告诉我。", 1),
        ("7", "He has 7 apples left. Let me know if you want 3 more examples.", 1), ("7", "答案：7。参考：课本第12页。", 1),
        ("7", "答案：7\n\n解析：3+4=7，见第2章。", 1), ("7", "He has 7 apples.\n\nNote: this took 2 steps.", 1),
        ("7", "他有7个苹果。\n\n注：以上共2步。", 1), ("7", "3 + 4 = 7. Feel free to ask 100 more questions.", 1),
        ("7", "The answer is 7 [1].", 1), ("7", "答案是7（四舍五入保留到个位，原值6.8）。", 1),
        ("138", "一共有138个。\n解题步骤：\n1. 将3个数相加，可以先将其中2个数相加。", 1),
        ("14", "13+1=14（顶）答：至少要搭14顶帐篷．", 1),
    ],
    "commas of other countries": [("1.5", "Die Antwort ist 1,5.", 1), ("1.5", "La réponse est 1,5", 1),
    ("1234.5", "1.234,5", 1), ("3.14", "3,14", 1), ("15", "1,5", 0)],
    "currency": [
        ("1200", "Answer: €1,200", 1), ("-1200", "Answer: -$1,200", 1), ("-1200", "$-1,200", 1), ("-1200", "-￥1200", 1),
        ("1200", "1200元", 1), ("1200", "人民币1200元整", 1), ("1200", "£1200", 1), ("1200", "₹1,200", 1),
        ("1200", "1,200 dollars", 1), ("1200", "USD 1200", 1), ("1.2", "$1.20", 1), ("0.5", "5角", 0),
        ("1200", "RMB 1,200.00", 1), ("1200", r"\$1200", 1),
    ],
    "negatives": [
        ("-3", "答案：－３", 1), ("-5", "x = – 5", 1), ("-5", "x = −5", 1), ("-5", "x = —5", 1),
        ("-5", "The net is (5) i.e. a loss: -5", 1), ("-5", "负5", 1), ("-5", "minus five", 1), ("-5", "negative 5", 1),
        ("5", "-5", 0), ("-5", "5", 0), ("-5", "答案：-5℃", 1), ("-5", "零下5度", 1), ("-5", r"\boxed{-5}", 1),
        ("-0.5", "-.5", 1),
    ],
    "several numbers, one of them the answer": [
        ("200", "答案是100,200中较大的，即200。", 1), ("200", "Of 100 and 200 the larger is 200.", 1),
        ("5", "The answer is not 4, it is 5.", 1), ("5", "答案不是4，而是5。", 1), ("5", "The answer isn't 4 but 5", 1),
        ("4", "The answer is not 4, it is 5.", 0), ("4", "The answer is not 4.", 0), ("4", "答案不是4。", 0),
        ("5", "The answer is not 5", 0),
        ("5", "The answer is 4. Wait, I made a mistake. The answer is 5.", 1), ("4", ("The answer is 4. Wait, I made "
                                                                                     "a mistake. The answer is 5."), 0),
                                                                                     ("5", "答案是4。不对，重新计算：答案是5。", 1),
                                                                                     ("5", "Answer: 4\n\nCorrection: 5",
                                                                                     1), ("5", "答案：4\n更正：5", 1),
                                                                                     ("5", "The answer is 4 or 5.", 0),
                                                                                     ("5", "答案是4或5", 0), ("5", "4 and 5", 0), ("5", "x = 4 or x = 5", 0), ("5", "rather than 4, the answer is 5", 1),
        ("12", "3 × 4 = 12", 1), ("12", "12 = 3 × 4", 1), ("12", "3+9＝12（个）", 1), ("12", ("The answer is 3 * 4 = 12 "
                                                                                         "apples."), 1),
                                                                                         ("1/3", "概率为2/6=1/3≈0.33", 1),
                                                                                         ("0.33", "概率为2/6=1/3≈0.33", 1),
                                                                                         ("32",
                                                                                         "小明送出13个萝卜后还剩下45-13=32个。", 1),
                                                                                         ("5", "five", 1), ("12", "twelve apples", 1), ("23", "twenty-three", 1), ("120", "one hundred and twenty", 1), ("1500", "fifteen hundred", 1), ("2000", "two thousand", 1), ("5", "The answer is five.", 1), ("5", "The answer is four.", 0), ("1", "no one knows", 0),
    ],
    "thoughts are no answers": [
        ("18", "<think>16? 17?</think>18", 1), ("17", "<think>16? 17?</think>18", 0), ("17", ("<think>\nThe answer is "
                                                                                             "17.\n</think>\n\nI cannot say."), 0), ("18", "[THINK]17[/THINK]18", 1), ("18", "◁think▷17◁/think▷18", 1), ("18", "<thinking>17</thinking>\n18", 1), ("18", "<reasoning>17</reasoning><answer>18</answer>", 1), ("18", "so 17, no.\n</think>\n\n18", 1),
        ("18", "<|channel|>analysis<|message|>17?<|end|><|start|>assistant<|channel|>final<|message|>18<|return|>", 1),
        ("18", "<think>The answer is 18", None), ("18", "<think>The answer is 18. <b>bold</b> 3", None),
        ("18", "<seed:think>17</seed:think>18", 1), ("18", "<think></think>18", 1),
        ("18", "<think>17</think>\n<think>16</think>\n18", 1), ("18", "Sure.\n<think>17</think>\n18", 1),
        ("17", "18\n<think>was it 17?</think>", 0),
        ("18", "<unused94>thought 17<unused95>18", 1),
        ("18", "<|begin_of_thought|>17<|end_of_thought|><|begin_of_solution|>18<|end_of_solution|>", 1),
        ("18", "<THINK>17</THINK>18", 1), ("18", "<thought>17</thought> 18", 1),
    ],
    "nothing": [("5", "", 0), ("5", "   ", 0), ("5", "I don't know.", 0), ("5", "无法确定", 0), ("5", "?", 0),
    ("5", "√5", 0), ("5", "5√2", 0), ("5", "5π", 0), ("5", r"\sqrt{5}", 0), ("5", "5x", 0), ("5", "x^5", 0)],
}  # fmt: skip

CHOICES: dict[str, list[Row]] = {
    "another language's word": [("C", "Antwort: C", 1), ("C", "Réponse : C", 1), ("C", "Respuesta: C", 1),
    ("C", "Antwort:\n\nAntwort: C", 1), ("C", "答え：C", 1), ("C", "정답: C", 1), ("C", "Ответ: C", 1), ("C", "解答：C", 1),
    ("B", "Antwort: C", 0)],
    "said first, reasoned later": [("D", "ANSWER IS D. A is incorrect.", 1), ("D", ("D. A is wrong because it is too "
                                                                                   "short, B and C too."), 1),
                                                                                   ("D",
                                                                                   "D\n\nExplanation: A is the capital of France, so A is out.", 1), ("D", "选D。A太短，B、C太长。", 1), ("D", "D，因为A、B、C都不符合题意。", 1), ("D", "The correct choice is D, not A.", 1), ("A", "The correct choice is D, not A.", 0), ("D", "D is the answer. B would be true in winter.", 1), ("D", "D is correct; while A is partially correct, it ignores the data.", 1)],
    "reasoned first": [
        ("B", ("Answer: Let's think step by step. The second is right, so the answer "
              "is B"), 1), ("B", ("A is true only in winter. C is false. D is false. So the answer "
                                 "is B."), 1), ("B", "A项说法过于绝对；C项偷换概念；D项无中生有。故选B。", 1),
                                 ("B", "首先看A，不符合；再看B，符合题意；C、D均不符合。所以选B。", 1),
                                 ("B", "Looking at A, it fails. Looking at B, it holds. Therefore, B.", 1),
                                 ("B", "Thus (B) is the correct answer.", 1), ("B", "综上，答案选B", 1),
        ("B", "由此可知，正确选项为：B", 1), ("B", "Hence B.", 1), ("B", "本题选择B选项。", 1), ("B", "本题答案为B项。", 1), ("B", "因此本题应选B", 1),
        ("B", "所以，正确答案是选项B：乙。", 1), ("B", "My answer would be B", 1), ("B", "I'd go with B.", 1),
        ("B", "I choose (B).", 1), ("B", "The best option here is B because it is cheap.", 1), ("B", "It's B.", 1),
        ("B", "The answer should be B", 1), ("B", "the answer must be (b)", 1), ("B", "So the correct letter is B", 1),
        ("B", "Option B best describes it.", 1),
    ],
    "lower case": [("D", "d", 1), ("D", "d.", 1), ("D", "d)", 1), ("D", "answer: d", 1), ("D", "the answer is (d)", 1),
    ("A", "a", 1), ("A", "the answer is a", 1), ("A", "a dog", None), ("D", "option d", 1), ("D", "c", 0)],
    "verdicts on each": [
        ("B", "选项B是正确的，A、C、D都不对。", 1), ("B", "A 选项错误，B 选项正确，C 选项错误，D 选项错误。", 1), ("B", "A错，B对，C错，D错。", 1),
        ("B", "A×，B√，C×，D×", 1), ("B", "A: wrong. B: right. C: wrong. D: wrong.", 1),
        ("B", "A. False\nB. True\nC. False\nD. False", 1),
        ("B", "A - incorrect\nB - correct\nC - incorrect\nD - incorrect", 1), ("C", "错误的是A、B、D，正确的是C。", 1),
        ("C", "正确的是C，错误的是A、B、D。", 1),
        ("A", "A 选项错误，B 选项正确，C 选项错误，D 选项错误。", 0), ("B", "B is right, and A, C and D are wrong.", 1),
        ("B", "Options A, C, and D are incorrect. B is correct.", 1), ("B", "A不符合题意，B符合题意，C不符合题意，D不符合题意", 1),
        ("B", "A、不正确；B、正确；C、不正确；D、不正确。", 1), ("AC", "A正确，B错误，C正确，D错误。", 1), ("B", "A is not correct, B is.", 1),
    ],
    "ordinals and circled numbers": [("B", "我认为应该选择第二个选项。", 1), ("B", "第二个", 1),
    ("B", "The second option is right.", 1), ("B", "It is the second one.", 1), ("D", "最后一个选项正确", 1),
    ("D", "the last option", 1), ("B", "②", 1), ("B", "答案：②", 1), ("B", "选②", 1), ("C", "选项③正确", 1), ("B", "2", 1),
    ("B", "Option 2", 1), ("B", "(2)", 1), ("C", "第二个选项", 0), ("A", "The first option", 1), ("B", "选项二", 1),
    ("B", "2.", 1)],
    "elimination": [
        ("B", "不选A，因为太短；也不选C和D。因此正确选项为B", 1), ("B", "排除A、C、D", 1), ("B", "排除A、C、D，剩下B。", 1), ("B", "A、C、D都可以排除。", 1),
        ("B", "A, C and D can be ruled out.", 1), ("B", "We can eliminate A, C and D.", 1), ("B", "not A, so B", 1),
        ("B", "Not A, not C, not D.", 1), ("B", "It can't be A, C or D, so it must be B.", 1), ("B", "A、C、D错误", 1),
        ("B", "A错误，C错误，D错误", 1), ("B", "A is wrong. C is wrong. D is wrong.", 1), ("C", "A、C、D错误", 0),
        ("B", "不是A，是B", 1), ("B", "It is not A but B.", 1), ("A", "It is not A but B.", 0), ("A", "not A", None),
        ("B", "Neither A nor C nor D.", 1), ("B", "除了B，其他都不对。", 1), ("B", "All but B are wrong.", 1),
        ("B", "Everything except B is wrong.", 1), ("B", "The answer is not A. The answer is B.", 1),
        ("A", "The answer is not A. The answer is C.", 0), ("B", "A不对，应该是B", 1), ("B", "C和D明显不对，A与题意不符，只有B合适。", 1),
        ("B", "只有B符合。", 1), ("B", "Only B fits.", 1), ("A", "答案不是A", None),
    ],
    "brackets of exam papers": [("B", "【答案】B", 1), ("B", "【答案】B\n【解析】A错，C错，D错。", 1), ("B", "【解析】A错，C错，D错。\n【答案】B", 1),
    ("B", "[答案]B", 1), ("B", "〖答案〗B", 1), ("B", "(答案)B", 1), ("B", "答案 B", 1), ("B", "答案B", 1), ("B", "【参考答案】B", 1),
    ("B", "参考答案：B", 1), ("B", "【正确答案】：B", 1), ("C", "【答案】B", 0), ("B", "（B）", 1), ("B", "题目（ B ）", 1), ("B", "「B」", 1)],
    "markup": [
        ("B", "### Answer\nB", 1), ("B", "**B**", 1), ("B", "**B.** 乙", 1), ("B", "__B__", 1), ("B", "`B`", 1),
        ("B", r"$\boxed{\text{B}}$", 1), ("B", r"The answer is $\mathbf{B}$.", 1), ("B", r"\boxed{(B)}", 1),
        ("B", r"\boxed{B. 乙}", 1), ("B", r"$\text{(B)}$", 1), ("B", r"\textbf{(B)}", 1), ("B", r"\(B\)", 1),
        ("B", '{"answer": "B"}', 1), ("B", '{"choice": "B", "reason": "A is wrong"}', 1),
        ("B", '```json\n{"answer": "B"}\n```', 1), ("B", '{"答案": "B"}', 1),
        ("B", "<answer>B</answer>", 1), ("B", "<answer>\nB\n</answer>", 1), ("B", "<ans>B</ans>", 1),
        ("B", "Answer: **B**", 1), ("B", "**Answer: B**", 1), ("B", "**Answer:** B", 1), ("B", "**答案**：B", 1),
        ("B", "答案：**B**", 1), ("B", "## 答案\n\nB", 1), ("B", "Final Answer: (B)", 1),
        ("B", "The final answer is **(B) 乙**.", 1), ("B", "[[B]]", 1), ("B", "[B]", 1), ("B", "> B", 1),
        ("B", "- B", 1), ("B", "<b>B</b>", 1), ("B", "Ｂ", 1), ("B", "Ⓑ", 1), ("B", "🅱", None), ("B", "B）", 1),
        ("B", "#### B", 1), ("B", r"\boxed{C}", 0),
    ],
    "hedges and corrections": [
        ("B", "It could be A or B, but the best answer is B.", 1), ("B", "A or B? I would say B.", 1),
        ("B", "Answer: A\n\nCorrection: B", 1), ("B", "The answer is A. Wait, no. The answer is B.", 1),
        ("B", "答案是A。不对，应该是B。", 1), ("B", "选A……更正：选B", 1), ("A", "Answer: A\n\nCorrection: B", 0),
        ("B", "At first glance A seems right, but B is correct.", 1), ("B", "乍一看选A，但仔细分析应选B。", 1),
        ("B", "Although A is tempting, the answer is B.", 1), ("B", "A or B", 0), ("B", "A或B", 0),
        ("B", "可能是A，也可能是B", 0), ("B", "Either A or B.", 0), ("B", "A? No, B.", 1), ("B", "I was going to say A, but actually it's B.", 1),
    ],
    "copied options": [("B", "A. 甲\nB. 乙\nC. 丙\nD. 丁\n\nB", 1), ("B", "A. 甲\nB. 乙\nC. 丙\nD. 丁\n答案：B", 1),
    ("B", "B. 乙", 1), ("B", "(B) 乙", 1), ("B", "B、乙", 1), ("B", "B 乙", 1), ("B", "B：乙", 1), ("C", "B. 乙", 0),
    ("B", "题目：哪一个？\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n\n选B，因为乙最长。", 1), ("B", "A. 甲 B. 乙 C. 丙 D. 丁\n答：B", 1)],
    "nobody can say": [("B", "我不知道", None), ("B", "", None), ("B", "none of the above", None), ("B", "题目不完整", None),
    ("B", "I think the question is unclear.", None), ("B", "A, B, C, D", 0), ("B", "以上都对", 0),
    ("B", "All of the above", 0), ("B", "<think>The answer is B if we consider only the first clause, but", None),
    ("B", "<think>\nThe answer is A? No... The answer is C? hmm. \n</think>\n\nB", 1), ("B", "Bacteria grow.", None),
    ("B", "Because it rains.", None), ("A", "As an AI, I cannot answer.", None)],
    "letter lists": [
        ("ABC", "A、B、C 都是正确的", 1), ("ABD", "正确的有：A、B、D。", 1), ("ABD", "ABD", 1), ("ABD", "A B D", 1),
        ("ABD", "A,B,D", 1), ("ABD", "A, B, and D", 1), ("ABD", "A, B and D are correct.", 1), ("ABD", "答案：A、B、D", 1),
        ("ABD", "【答案】ABD", 1), ("ABD", "故选：ABD．", 1), ("ABD", r"\boxed{A, B, D}", 1), ("ABD", r"\boxed{ABD}", 1),
        ("ABD", '{"answer": ["A", "B", "D"]}', 1), ("ABD", "[A, B, D]", 1), ("ABD", "DBA", 1), ("ABD", "A和B和D", 1),
        ("ABD", "A、B、D三项正确，C错误", 1),
        ("ABD", "A\nB\nD", 1), ("ABD", "除C外都正确", 1), ("ABD", "All except C.", 1), ("ABD", "AB", 0), ("ABD", "ABCD", 0),
        ("ABCD", "以上都对", 1), ("ABCD", "All of the above", 1), ("ABCD", "全选", 1), ("AB", "Both A and B", 1),
        ("AC", "A and C are both true.", 1), ("AC", "①③", 1), ("AC", "A+C", 1), ("AC", "A/C", 1), ("AC", "A；C", 1),
        ("AC", "选AC", 1), ("AC", "A: yes\nB: no\nC: yes\nD: no", 1),
    ],
    "think": [("B", ("<think>\nThe answer is A? No... The answer is C? hmm. "
                    "\n</think>\n\nB"), 1), ("B", "<thinking>选A</thinking>选B", 1), ("B", "<think>选B", None),
                    ("B", "选A。\n</think>\n\n选B", 1)],
}  # fmt: skip


def rows() -> list[tuple[str, str, list[str] | None, str, str, float | None]]:
    """(kind, scorer, choices, reference, answer, score) of every row."""
    numbers = [(kind, "number", None, *row) for kind, table in NUMBERS.items() for row in table]
    letters = [(kind, "choice", WORDS, *row) for kind, table in CHOICES.items() for row in table]
    return [*numbers, *letters, *MORE, *SECOND_LOOK, *THIRD_LOOK]
