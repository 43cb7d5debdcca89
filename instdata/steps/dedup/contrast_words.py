"""Words that make two otherwise equal short instructions different tasks ("list the even numbers" / "list the odd
numbers").

Two texts contrast where they differ in their numbers, their negations or the languages they name; and where each holds
a word that the other lacks (a word more is no contrast: "the sea" / "the warm sea"). NEUTRAL words do not count: they
are grammar, or say how politely a thing is asked. The words of one alternative of SETS and SYNONYMS count as one and
the same. Where words of their own do not count (method: semantic) two texts contrast if, of one of SETS, each holds an
alternative that the other lacks.

One line a set; its alternatives are separated by `|`, spellings and synonyms of one alternative by commas. Words of
unspaced scripts are found anywhere (longest first, up to six characters), others as whole words.
"""

from __future__ import annotations

import numpy as np

# What a word means: from NUMBER on a number's value, from STRONG on something that both texts must hold equally often, below
# it an alternative of a set, SET * (number of the set) + (number of the alternative).
NUMBER = np.uint64(1 << 62)
STRONG = np.uint64(1 << 61)
NEGATION = STRONG
SET = 256
NEUTRAL = np.uint64(1)

NEGATIONS = """not no never without cannot neither nor none nothing nobody except excluding excludes exclude avoid
不 没 没有 无 無 非 未 别 別 勿 莫 除了 除外 避免 禁止
sin nunca ningún ninguna ninguno tampoco jamás excepto evita evitar
pas jamais sans aucun aucune sauf ni évite évitez éviter
nicht kein keine keinen keinem keiner keines ohne nie niemals außer
non senza mai nessun nessuno nessuna tranne
não nem nenhum nenhuma exceto
не нет без никогда ни кроме нельзя
ない なし せず ません 以外
안 않 못 없이 없는 제외
لا ليس لم لن بدون ليست غير
नहीं बिना मत
không chưa đừng
tidak bukan tanpa jangan
değil olmadan yok asla
nie bez nigdy
niet geen zonder nooit
ไม่ ไม่มี ห้าม
inte ingen inga utan aldrig"""

NUMBERS = """two dos deux zwei due dois два 二 两 兩 둘
three tres trois drei tre três три 三 셋
four cuatro quatre vier quattro quatro четыре 四 넷
five cinco cinq fünf cinque пять 五 다섯
six seis sechs sei шесть 六 여섯
seven siete sept sieben sette sete семь 七 일곱
eight ocho huit acht otto oito восемь 八 여덟
nine nueve neuf neun nove девять 九 아홉
ten diez dix zehn dieci dez десять 十 열
eleven once onze elf undici одиннадцать 十一
twelve doce douze zwölf dodici doze двенадцать 十二
thirteen 十三
fourteen 十四
fifteen 十五
sixteen 十六
seventeen 十七
eighteen 十八
nineteen 十九
twenty veinte vingt zwanzig venti vinte двадцать 二十"""

LANGUAGES = """english, 英语, 英文, inglés, anglais, englisch, inglese, inglês, английский, английском, 英語, 영어, الإنجليزية, अंग्रेजी | chinese, mandarin, 中文, 汉语, 漢語, chino, chinois, chinesisch, китайский, 中国語, 중국어, الصينية | french, 法语, 法文, francés, français, französisch, francese, francês, французский, フランス語, 프랑스어, الفرنسية, फ्रेंच | german, 德语, 德文, alemán, allemand, deutsch, tedesco, alemão, немецкий, ドイツ語, 독일어, الألمانية, जर्मन | spanish, 西班牙语, 西语, español, espagnol, spanisch, spagnolo, espanhol, испанский, スペイン語, 스페인어, الإسبانية | italian, 意大利语, italiano, italien, italienisch, итальянский, イタリア語, 이탈리아어, الإيطالية | portuguese, 葡萄牙语, portugués, portugais, portugiesisch, português, португальский, ポルトガル語 | russian, 俄语, 俄文, ruso, russe, russisch, русский, ロシア語, 러시아어, الروسية | japanese, 日语, 日文, japonés, japonais, japanisch, японский, 日本語, 일본어, اليابانية | korean, 韩语, 韩文, coreano, coréen, koreanisch, корейский, 韓国語, 한국어 | arabic, 阿拉伯语, árabe, arabe, arabisch, арабский, アラビア語, 아랍어, العربية | hindi, 印地语, hindú, हिंदी, हिन्दी | latin, 拉丁语, latín | greek, 希腊语 | dutch, 荷兰语 | swedish, 瑞典语 | turkish, 土耳其语, türkçe | polish, 波兰语 | vietnamese, 越南语 | thai, 泰语 | indonesian, 印尼语 | hebrew, 希伯来语 | ukrainian | cantonese, 粤语 | bengali | urdu | persian, farsi
python | java | javascript, js | typescript | c | cpp | csharp | rust | golang, go | ruby | php | swift | kotlin | scala | haskell | perl | lua | matlab | julia | sql | bash, shell | r | fortran | cobol"""

SETS = """even, evens | odd, odds
who, whom, whose | when | where | why
谁 | 什么时候, 何时 | 哪里, 哪儿, 何处 | 为什么, 为何
ascending, increasing | descending, decreasing
increase, increases, increased, raise, raises, grow, grows | decrease, decreases, decreased, reduce, reduces, reduced, lower, lowers, shrink, shrinks
maximum, max, maximize, maximise, maximal | minimum, min, minimize, minimise, minimal
largest, biggest, greatest | smallest, tiniest | highest, tallest | lowest, shortest | longest | fastest, quickest | slowest | oldest | newest, youngest, latest | earliest | best | worst | most | least, fewest | cheapest | strongest | weakest | richest | poorest | closest, nearest | farthest, furthest | hottest, warmest | coldest, coolest
larger, bigger, greater | smaller | higher, taller | shorter | longer | faster, quicker | slower | older | newer, younger | better | worse | more | less, fewer | cheaper | stronger | weaker | warmer, hotter | colder, cooler
big, large, huge | small, little, tiny | tall, high | short | long | low | fast, quick, rapid | slow | old, ancient | new, modern | young | good | bad | hot | cold | warm | cool | rich | poor | strong | weak | hard, difficult | easy, simple | heavy | light | deep | shallow | wide | narrow | thick | thin | early | late | dark | bright | loud | quiet | clean | dirty | safe | dangerous | cheap | expensive | happy | sad | dry | wet | full | empty | hungry | rough | smooth | sharp | blunt
positive | negative
advantage, advantages, pro, pros, benefit, benefits, strength, strengths | disadvantage, disadvantages, con, cons, drawback, drawbacks, downside, downsides, weakness, weaknesses
similarity, similarities | difference, differences
similar, same | different
cause, causes | effect, effects, consequence, consequences
before | after | during
first | second | third | fourth | fifth | last, final
previous | next
start, starts, begin, begins, beginning | stop, stops, end, ends, ending, finish, finishes
open, opens, opening | close, closes, closing, closed
add, addition, adds, plus | subtract, subtraction, subtracts, minus | multiply, multiplication, multiplied | divide, division, divided
sum | product | quotient | average, mean | median | mode | variance
buy, buying, purchase | sell, selling
import, imports | export, exports
win, winning, wins | lose, losing, loses
accept, accepts, accepting | reject, rejects, decline, refuse, refuses
agree, agrees | disagree, disagrees
favor, favour | oppose, against
encode, encoding, encrypt, encryption | decode, decoding, decrypt, decryption
compress, compression | decompress, decompression
enable, enables | disable, disables
allow, allows, permit, permits | forbid, forbids, prohibit, prohibits, prevent, prevents
include, includes, including | remove, removes, delete, deletes, insert, inserts | append | prepend
push | pop
upload | download
send, sends | receive, receives
lend | borrow
teach | learn
save, saves, saving | spend, spends, spending
gain | loss
true | false
valid | invalid
correct, right | incorrect, wrong
possible | impossible
legal | illegal
formal | informal, casual
polite | rude, impolite
active | passive
singular | plural
noun, nouns | verb, verbs | adjective, adjectives | adverb, adverbs | pronoun, pronouns
synonym, synonyms | antonym, antonyms
past | present | future
uppercase, capital | lowercase
prefix | suffix
horizontal, horizontally, row, rows | vertical, vertically, column, columns
left | right
up, above, upward | down, below, downward | under | over
inside, indoor, internal, inner | outside, outdoor, external, outer
forward, forwards | backward, backwards, reverse
top, upper | bottom
north, northern | south, southern | east, eastern | west, western
clockwise | counterclockwise, anticlockwise
input | output
question, questions | answer, answers
summer | winter | spring | autumn, fall
morning | afternoon | evening | night, midnight | noon
day, days, daily | week, weeks, weekly | month, months, monthly | year, years, yearly, annual | hour, hours, hourly | minute, minutes | decade | century
monday | tuesday | wednesday | thursday | friday | saturday | sunday
today | tomorrow | yesterday
january | february | march | april | june | july | august | september | october | november | december
red | blue | green | yellow | black | white | orange | purple | brown | pink | grey, gray
man, men, male, males | woman, women, female, females | boy, boys | girl, girls | husband | wife | father | mother | son | daughter | brother | sister | king | queen
cat, cats | dog, dogs
parent, parents | child, children | adult, adults | teenager, teenagers
teacher | student
doctor | patient
employer | employee
customer, buyer | seller
breakfast | lunch | dinner
array | tuple | dictionary, dict | integer, int | float | stack | queue
json | xml | csv | yaml | html | markdown
kilometer, kilometers, kilometre, kilometres, km | mile, miles | meter, meters, metre, metres | centimeter, centimeters, cm | inch, inches | foot, feet
kilogram, kilograms, kg | pound, pounds, lb, lbs | gram, grams
celsius | fahrenheit | kelvin
dollar, dollars, usd | euro, euros, eur | yen | yuan, rmb
hundred | thousand | million | billion | half | quarter | double | triple
area | perimeter | circumference | volume | radius | diameter
square | cube | circle | triangle | rectangle | sphere
sine, sin | cosine, cos | tangent
derivative | integral
acid, acidic | base, alkaline
herbivore, herbivores | carnivore, carnivores | omnivore, omnivores
mammal, mammals | reptile, reptiles | bird, birds | fish | insect, insects
introvert | extrovert
optimistic, optimist | pessimistic, pessimist
supply | demand
inflation | deflation
debit | credit
asset, assets | liability, liabilities
breadth | depth
recursive, recursively | iterative, iteratively
synchronous | asynchronous
static | dynamic
public | private | protected
local | global
client | server
lossy | lossless
supervised | unsupervised
升序, 从小到大, 递增 | 降序, 从大到小, 递减
偶数 | 奇数 | 质数, 素数 | 合数
最大 | 最小 | 最高 | 最低 | 最长 | 最短 | 最多 | 最少 | 最快 | 最慢 | 最早 | 最晚 | 最好 | 最差, 最坏 | 最新 | 最旧
增加, 提高, 提升, 上升, 增长, 增大 | 减少, 降低, 下降, 缩小, 减小
优点, 优势, 好处 | 缺点, 劣势, 坏处, 弊端
正面, 积极, 肯定 | 负面, 消极, 否定
相同, 相似 | 不同, 差异, 区别
同义词, 近义词 | 反义词
原因 | 结果, 后果
之前, 以前 | 之后, 以后
上方 | 下方 | 左 | 右 | 东 | 西 | 南 | 北 | 内 | 外
第一 | 第二 | 第三 | 第四 | 第五 | 最后
加法, 加上 | 减法, 减去 | 乘法, 乘以 | 除法, 除以
之和 | 之差 | 之积 | 之商 | 平均 | 中位数
开始 | 结束
打开, 开启 | 关闭
买, 购买 | 卖, 出售
进口 | 出口
输入 | 输出
支持, 赞成, 同意 | 反对
编码, 加密 | 解码, 解密
正式 | 非正式
主动 | 被动
过去 | 现在 | 未来, 将来
春, 春天, 春季 | 夏, 夏天, 夏季 | 秋, 秋天, 秋季 | 冬, 冬天, 冬季
早上, 早晨 | 中午 | 下午 | 晚上
早餐 | 午餐 | 晚餐
男, 男性 | 女, 女性
父亲, 爸爸 | 母亲, 妈妈 | 哥哥 | 弟弟 | 姐姐 | 妹妹
猫 | 狗
红 | 蓝 | 绿 | 黄 | 黑 | 白
大 | 小 | 高 | 低 | 长 | 短 | 快 | 慢 | 新 | 旧 | 冷 | 热 | 真 | 假 | 强 | 弱 | 远 | 近
周长 | 面积 | 体积 | 半径 | 直径
名词 | 动词 | 形容词 | 副词
小学 | 初中 | 高中 | 大学
百 | 千 | 万 | 亿
偶数の | 奇数の | 昇順 | 降順 | 最大の | 最小の | 利点, メリット, 長所 | 欠点, デメリット, 短所 | 朝 | 昼 | 夜 | 春の | 夏の | 秋の | 冬の | 犬
짝수, 짝수를 | 홀수, 홀수를 | 오름차순, 오름차순으로 | 내림차순, 내림차순으로 | 장점, 장점을 | 단점, 단점을 | 최대 | 최소 | 여름 | 겨울 | 봄 | 가을
pares | impares
ascendente, creciente, crescente | descendente, decreciente, decrescente
máximo, máxima | mínimo, mínima
ventajas, ventaja, vantagens | desventajas, desventaja, desvantagens
mayor, mayores, maior, maiores | menor, menores
grande, grandes | pequeño, pequeña, pequeños, pequeñas, pequeno, pequena
antes | después, depois
alto, alta | bajo, baja, baixo, baixa
comprar | vender
verano, verão | invierno, inverno | primavera | otoño, outono
positivo, positiva | negativo, negativa
aumentar | disminuir, reducir, diminuir
mejor, melhor, mejores | peor, pior, peores
más, mais | menos
croissant | décroissant
avantages, avantage | inconvénients, inconvénient
avant | après
petit, petite, petits, petites | grande, grand, grands
augmenter | diminuer, réduire
hiver | printemps | automne
meilleur, meilleure, meilleurs | pire
plus | moins
acheter | vendre
gerade, geraden | ungerade, ungeraden
aufsteigend, aufsteigender | absteigend, absteigender
vorteile, vorteil | nachteile, nachteil
größte, größten, größter | kleinste, kleinsten, kleinster
erhöhen | senken, verringern
sommer | winter | frühling | herbst
beste, besten | schlechteste, schlechtesten
kaufen | verkaufen
mehr | weniger
pari | dispari
vantaggi | svantaggi
четные, чётные, четных, чётных | нечетные, нечётные, нечетных, нечётных
возрастания, возрастанию | убывания, убыванию
преимущества, преимуществ, плюсы | недостатки, недостатков, минусы
максимальное, максимальный, максимум | минимальное, минимальный, минимум
увеличить | уменьшить
до | после
летом, лето, летний | зимой, зима, зимний
больше | меньше
лучший, лучшие | худший, худшие
купить | продать
الزوجية | الفردية
تصاعديا, تصاعدي | تنازليا, تنازلي
مزايا, فوائد | عيوب, أضرار
أكبر | أصغر
قبل | بعد
الصيف | الشتاء
सम | विषम
आरोही | अवरोही
लाभ, फायदे | हानि, नुकसान
सबसे बड़ा | सबसे छोटा
पहले | बाद
chẵn | lẻ
tăng | giảm
genap | ganjil
kelebihan | kekurangan
çift | tek
artan | azalan
avantajları | dezavantajları"""


NEUTRALS = """a an the this that these those it its it's he she his him they them their we us our ours i my me mine i'm i've i'd i'll you your yours you're
is are was were be been being am do does did doing has have had having can could would should will shall may might must let lets let's
of in on at by to for from with into onto as than about between among through upon within per via and or but so because if when while that's
what which who whom whose there's here there also too just even please kindly thanks thank hi hello hey ok okay dear sir madam
much many some any each every all both such very really quite following given below then now again once one only own same's
make sure want wants need needs like able help tell show know think following: etc e.g i.e step steps way ways detail details briefly brief
el la los las un una unos unas de del al en y o u que qué es son por para con se su sus mi mis tu tus lo le les me te como cómo puedo puede puedes favor sobre
un une le la les des du de et ou en à au aux ce cette ces est sont pour par avec sur dans que qui se sa son ses mon ma mes ton ta tes il elle peux peut pendant durant numa num
der die das den dem des ein eine einen einem einer eines und oder in im an am auf aus bei mit von zu zum zur für über ist sind wird wie was bitte mir dir ich du er sie es wir ihr heraus kann könnte
il lo gli i uno una di da con su per tra fra e o è sono che come mi ti si nel nella del della posso
o os as um uma uns umas do da dos das no na nos nas em com por para e ou que se seu sua como posso pode na numa
и в во на по с со о об про у к ко за из от а но или что как это для можно пожалуйста мне ты вы он она они его её их бы ли же
的 了 吗 嗎 呢 吧 啊 呀 么 麼 请 請 您 你 我 他 她 它 们 們 这 這 那 些 个 個 和 与 與 及 或 并 並 且 而 在 于 於 是 有 为 為 以 把 被 将 將 让 讓 给 給 对 對 向 从 從 到 等 要 会 會 能 可 可以 应 應 该 該 也 都 就 又 再 还 還 很 更 最 其 之 所 着 著 过 過 来 來 去 上 下 中 里 裡 得 地 帮 幫 一 一个 一個 一下 一些 一篇 一首 一份 一条 一句 一段 一种 篇 首 份 条 條 句 段 种 種 位 只 本 如 则 因 此 以下 下列 下面 如下 用 使用 写 寫 回答 作答 什么 什麼 怎么 怎麼 怎样 怎樣 如何 何 哪 谁 誰 关于 關於 根据 根據 有关 有關 需要 想 说 說 做 ，
は が を に へ と で も の か
은 는 이 가 을 를 에 의 도 로 와 과 한 하 해 게 서 주 세 요 십 시 오 고 기 인 적 어 써 려 줘 다
hãy xin vui lòng giúp tôi cho của và là một các những bạn
bir ve için mı mi mu mü lütfen
yang dan di ke untuk sebuah tolong
het een van en
ett och en"""

SYNONYMS = """write, create, generate, compose, produce, craft, draft, construct, make, makes, build, develop, design, formulate, prepare
describe, explain, discuss, elaborate, outline, illustrate, clarify
list, name, give, provide, suggest, offer, enumerate, state, mention, recommend
find, identify, determine, figure
calculate, compute, evaluate, solve
summarize, summarise, summary
rewrite, rephrase, reword, paraphrase, restate
classify, categorize, categorise, label
analyze, analyse, examine
get, obtain
use, using, uses, utilize, utilise
sentence, sentences, phrase
text, passage, paragraph
method, methods, approach, approaches, technique, techniques
tip, tips, advice, suggestion, suggestions
important, key, main, major, significant, essential
example, examples, instance, instances
story, tale
defend, guard, protect
仿佛, 彷彿, 好像, 似乎
解释, 解釋, 说明, 說明, 描述, 介绍, 介紹, 阐述, 闡述, 讲解, 讲述, 概述, 简述, 论述, 叙述
列出, 列举, 列舉, 举出, 给出, 提供, 提出, 说出
生成, 创建, 创作, 撰写, 编写, 设计, 制作, 创造, 构造, 编一, 拟定, 制定
详细, 具体
主要, 重要, 关键
方法, 方式, 办法, 途径
建议, 提示
例子, 示例, 实例
分类, 归类
概括, 总结, 归纳
改写, 重写
计算, 求出, 算出
找出, 识别, 确定
文章, 短文, 文本, 段落"""

# Words one letter from others that are words too, so no typing errors: typing_errors.py.
REAL_WORDS = """county country costal coastal patent patient trial trail angel angle quite quiet desert dessert diary dairy dinner diner
super supper later latter comma coma brain brian united untied martial marital cavalry calvary silver sliver server sever severe
defuse diffuse though through thorough insulin inulin carton cartoon moral morale human humane plane plan planing planning hoping hopping
scared scarred taping tapping breath breathe cloth clothe bath bathe loath loathe adverse averse affect effect elicit illicit
aisle isle assent ascent access excess adapt adopt adept allusion illusion formally formerly personal personnel principal principle
statue statute status stature perspective prospective precede proceed prescribe proscribe conscience conscious decent descent
eminent imminent ethnic ethic expand expend lightning lightening envelop envelope casual causal abjure adjure bland blend
stripe strip twice twine witch winch stock stork coral choral corral coarse course curse heroin heroine immoral immortal moment memento
parity party pasty pastry pretty petty price prince print point poison potion prison prism quarter quartet revel reveal scene scent
sever seven shift shirt skill skull slide glide snack snake spade space spear spare stack stake start state stead steed steam stream
strain train terrain thing think thirst third tired tried tiring trying topic tropic towel tower trace trade truck trunk waist waste
weather whether weight height women woman world word sword worth wrath write writhe fiend friend bread board beard breed brand brad
chat chart cheat chef chief chili child china chain clam claim clean clear close closet coast coat cost count court crash crush cream
create crate dose does fair fairy fare farm form from frame flour floor flow flower fight fright filed field find fined found fund
glass gas grass grease greece hose horse house hours inflation inflection inspection infection ingenious ingenuous lever liver live lively
lose loose loss mental metal metre meter model modal month mouth mouse moose nitrate nitrite ethane ethene methane methanol ethanol
propane propene butane butene sulfate sulfite chlorate chlorite glucose glycose neuron neutron proton protein carbon carton
plant planet father farther brother bother learned leaned heart heat hearing heating poster porter formal former lawyer layer
farmer framer barley barely burred blurred boarder border bridge bride garden harden charge change singed signed singer signer
stared starred staring starring robed robbed filing filling writing writhing dining dinning later latter bitter biter butter"""


def lexicon() -> dict[str, int]:
    """Every word and what it means; the first meaning of several."""
    meaning: dict[str, int] = dict.fromkeys(NEGATIONS.split(), int(NEGATION))
    for value, line in enumerate(NUMBERS.splitlines(), 2):
        for word in line.split():
            meaning.setdefault(word, int(NUMBER) + value)
    for base, text in ((int(STRONG), LANGUAGES), (0, f"{SETS}\n{SYNONYMS}")):
        for number, line in enumerate(text.splitlines(), 1):
            for i, alternative in enumerate(line.split("|")):
                for word in alternative.split(","):
                    meaning.setdefault(word.strip(), base + SET * number + i)
    for word in NEUTRALS.split():
        meaning.setdefault(word, int(NEUTRAL))
    return meaning
