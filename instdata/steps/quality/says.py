"""Rules about what a text says: refusals, missing inputs, leftovers of the format it was generated in, broken encoding.

Each takes a Text and returns a boolean mask. The table in rules.py says what each is for.
"""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from instdata.steps.quality.text import Text, count, has

# Tasks in which somebody else speaks, or a sentence is given back changed: what is said there is not the model's own.
ROLE = (
    r"(?i)\b(apolog\w*|refus\w*|declin\w*|excuse\w*|reject\w*|repl(y|ies)|respond|respons\w*|rewrit\w*|rephras\w*|paraphras\w*|"
    r"convert|translat\w*|customer|dialog\w*|conversation|chat|role|character|story|song|poem|lyrics|letter|e-?mail|sentence|"
    r"pretend|imagine|act as|joke|tweet|speech|scene|script|interview|message|quote|excerpt|negative)\b|"
    r"道歉|拒绝|婉拒|借口|回复|回应|翻译|改写|重写|对话|扮演|假装|想象|角色|客户|客服|故事|诗|歌|邮件|信|句子|台词|剧本|演讲|采访|引用|笑话"
)


def empty_prompt(t: Text) -> np.ndarray:
    return ~has(t.prompt, r"[\pL\pN\p{So}\p{Sm}]")


def no_response(t: Text) -> np.ndarray:
    return ~t.answered


def empty_response(t: Text) -> np.ndarray:
    says_nothing = has(
        t.head,
        r"(?i)^[\s\pP<>]*(no ?(output|response|answer)|null|undefined|nan|n/?a|not applicable|tbd|to be determined|"
        r"无输出|没有输出|暂无|无回答|无内容|待补充)([\s\pP<>]*$|[^\n]{0,3}>)",
    )
    only_marks = has(t.head, r"^[\s.…。,，、;；?？*#_~\"'“”‘’()（）<>《》【】\[\]{}|\x{200B}\x{FEFF}-]+$") & (
        t.chars < 100
    )
    wanted = has(
        t.ask,
        r"(?i)\b(morse|ascii|emoticon|smiley|punctuat\w*|symbols?|shape|draw|redact|n/?a|null|blank|censor)\b|摩斯|摩尔斯|标点|符号|表情",
    )
    return t.answered & (says_nothing | only_marks) & ~wanted


TASK_HEADER = (
    r"(?i)\n\s*(?:#{1,4}\s*)?(?:\d{1,3}\s*[.)．、]\s*)?\**(instruction|指令|说明|任务说明|任务指令)\**\s*[:：]"
)
TASK_PART = r"(?i)(?:^|\n)\s*(?:#{1,4}\s*)?(?:\d{1,3}\s*[.)．、]\s*)?\**(input|output|输入|输出)\**\s*[:：]"
NUMBERED_TASK = r"(?i)(?:^|\n|\s)#{0,4}\s*\d{1,3}\s*[.)．、]\s*\**(instruction|指令|说明|任务指令)\**\s*[:：]"


def merged_task(t: Text) -> np.ndarray:
    asked = has(t.ask, r"(?i)\b(instructions?|prompt|gpt)\b|指令") & ~has(t.response, NUMBERED_TASK)
    several = has(t.response, NUMBERED_TASK) | (has(t.response, TASK_HEADER) & has(t.response, TASK_PART))
    return several & ~asked


def template_token(t: Text) -> np.ndarray:
    mark = (
        r"(?i)(<|&lt;|\[|\()\s*(no ?(input|output)|无输入|无输出|没有输入|没有输出)\b?\s*[^<>&\n]{0,40}(>|&gt;|\]|\))"
    )
    listed = has(t.prompt, mark) & has(t.ask, r"(?i)\binstructions?\b|指令")  # tasks about such formats
    return (has(t.response, mark) | has(t.head, r"(?i)^\s*(无输入|no ?input)\s*$")) & ~listed


def chat_marker(t: Text) -> np.ndarray:
    tokens = r"<\|[a-zA-Z_]{2,20}\|>|\[/?INST\]|<</?SYS>>|</?s>\s*$|###\s*(Human|Assistant|User|Response|Instruction|Input|回答|指令|问题)\s*[:：]"
    turn = r"\n\s*(Human|User|Assistant|用户|人类|助手|问)\s*[:：][ \t]*[^\s<]"  # said on the same line: a lone "User:" heads a list
    spoken = r"(?i)\b(human|user|assistant|dialog\w*|conversation|chat\w*|bot|script|interview|robot|transcript|role|q ?& ?a|use case|ai)\b|对话|聊天|用户|助手|客服|机器人|采访|剧本|问答"
    return (has(t.response, tokens) & ~has(t.prompt, tokens)) | (has(t.response, turn) & ~has(t.prompt, spoken))


def leaked_prompt(t: Text) -> np.ndarray:
    known = (
        r"(?i)below is an instruction that describes a task|write a response that appropriately completes the request|"
        r"you are (chatgpt|a helpful assistant|a helpful, respectful|an ai assistant that)|knowledge cutoff ?:|"
        r"you are asked to come up with a set of|a chat between a curious (user|human) and an artificial intelligence|"
        r"你是(chatgpt|一个由openai)|以下是一(条|个)描述任务的指令|请写出(一个)?适当(地)?完成请求的(回复|回答)|你被要求提供\s*\d+\s*个|"
        r"ignore (all )?previous instructions"
    )
    return has(t.response, known) & ~has(t.prompt, known)


AI = r"(ai|a\.i\.|artificial intelligence|(ai |large |text-based |gpt(-\d)? )?language model|gpt(-\d)? model|virtual assistant|chatbot|computer program)"


def self_reference(t: Text) -> np.ndarray:
    says = has(
        t.response,
        rf"(?i)\b(as|being) an? {AI}( (model|assistant|system|program|chatbot))?,? ?[^.,\n]{{0,40}},? ?(i|i'm|my)\b|"
        rf"\b(i am|i'm|i’m) (just |only |merely |simply )?an? {AI}\b|"
        r"作为(一个|一名|一款|一种|一位)?(AI|人工智能|大型语言模型|大语言模型|语言模型|机器学习模型|聊天机器人|虚拟助手|ChatGPT|GPT)[^。\n]{0,12}[，,]?\s*我|"
        r"我(只)?是(一个|一名|一款|一种)?(由[^，。\n]{1,15}(开发|训练)的)?(AI|人工智能|大型语言模型|大语言模型|语言模型|聊天机器人|ChatGPT)",
    )
    played = has(
        t.ask,
        r"(?i)\b(pretend|imagine|act as|role\w*|character|story|poem|dialog\w*|conversation|script|chatbot|robot|virtual assistant|personality|introduce)\b|"
        r"扮演|假装|想象|角色|故事|对话|机器人|诗",
    )
    given = has(
        t.prompt, rf"(?i)\b(as|i am|i'm|i’m) an? {AI}\b|作为(一个)?(AI|人工智能|语言模型)|我是(一个)?(AI|人工智能)"
    )
    return says & ~played & ~given


DENIES = r"(can ?not|can't|can’t|(unable|not able) to)"
DEEDS = (
    r"(assist|help|provide|fulfill?|comply|completed?|perform(ed)?|generated?|created?|answer(ed)?|access(ed)?|process|done?|display(ed)?|draw|play|open|see|view|browse|discuss|give|offer|"
    r"executed?|write|produce|respond)"
)
# Said of the task or the model: nobody in a story speaks so.
EN_TASK = (
    r"(?i)^\W*(sorry|i'?m sorry|i am sorry|we'?re sorry|no output|unfortunately)[,.:]? (but )?(this|the|that) (task|request|instruction|question) (involves?|requires?|is (not|beyond|outside|too))|"
    rf"^\W*((sorry|unfortunately),? )?(this|the) (task|instruction|request|type of \w+)[^.\n]{{0,60}}\b{DENIES}[^.\n]{{0,10}}\b{DEEDS}\b|"
    r"(can ?not|can't|unable to|not (currently )?able to|not (possible|suitable)|beyond the capabilit\w+|outside the scope)[^.\n]{0,60}\b(gpt|language model|the model|this model)|"
    rf"\b(gpt|language) models?[^.\n]{{0,12}} ({DENIES}|(is|are) not capable)[^.\n]{{0,10}} (of )?({DEEDS}|creating|generating)\b|"
    r"^\W*(no output (possible|as|because)|unable to (perform|complete|fulfill?|generate|create|provide|process|answer) (this|the|that))|requesting an? \w+ which can ?not"
)
EN_SELF = (
    r"(?i)^\W*(as an? [^,.\n]{1,50}, )?(i'?m |i am |i |my apologies|unfortunately)?,?\s*(so |very |really |but )*(sorry|afraid|apologi[sz]e|unfortunately)?[,.:;]? ?(but )?(i|we|this|it|that)\b[^.\n]{0,20}?\b"
    rf"({DENIES}[^.\n]{{0,18}}\b{DEEDS}\b|(do not|don't|don’t) have (the ability|access|the capability)\b|must (respectfully )?decline\b)"
)
# Nothing but a refusal: no poem, joke or story reads so, only a task that asks for the words of somebody who refuses.
STOCK = (
    rf"(?i)^\W*((i'?m|i’m|i am|we are)? ?(very |so |really |truly )*(sorry|afraid|apologi[sz]e)[,.!:]* ?(but |that )?)?(i|we)( (am|are)|'m|’m)? ?({DENIES}|won't|will not) "
    r"(help|assist|comply|fulfill?|do|complete|answer|respond to|process|grant|support)( you)?( with| to)?( (that|this|your|the|such an?)( \w+)?)?\W*($|\n|(is there|please|if you|can i|let me)\b)"
)
SPOKEN = (
    r"(?i)\b(apolog\w*|refus\w*|declin\w*|excuse\w*|reject\w*|repl(y|ies)|respond|respons\w*|rewrit\w*|rephras\w*|paraphras\w*|convert|translat\w*|customer|"
    r"dialog\w*|conversation|chat|role|e-?mail|letter|sentence|pretend|act as|message|negative|say no)\b|道歉|拒绝|婉拒|回复|回应|翻译|改写|对话|扮演|邮件"
)
ZH_TASK = (
    r"^[\s\pP]*(无法|不能)(回答|完成|提供|生成)[^。\n]{0,8}[\s\pP]*$|"
    r"^(?s:.{0,80}?)(此|该|这个|这项|本|这类|此类)(类型的)?(任务|指令|请求|问题)[^。\n]{0,30}(模型[^。\n]{0,6})?(无法|不能)(被)?(生成|完成|执行|回答|实现)|模型(无法|不能)(直接)?(生成|完成|执行|回答|创建|处理|提供)|"
    r"^[\s\pP]*由于[^。\n]{0,20}，?我(无法|不能)(回答|完成|提供)"
)
ZH_SELF = (
    r"^[\s\pP]*(非常|很|十分|真的|实在)?(抱歉|对不起|不好意思|遗憾|请原谅)[^。！\n]{0,20}(我|系统|本人)[^。！\n]{0,12}(无法|不能|没有办法|没办法|不具备|没有能力|不支持)|^[\s\pP]*(非常|很|十分)?(抱歉|对不起)，?(无法|不能)|"
    r"^[\s\pP]*(我|本模型|本系统|该模型|作为[^，。\n]{0,20}，?我?)[^。，\n]{0,8}(无法|不能|没有能力)(直接|为您|为你|对此|给出|给您|帮您|帮你|帮助您|帮助你|真正|满足您的|提供|回答|完成|生成|访问|打开|执行|处理|协助|查看|看到|播放|绘制|画|显示)"
)


def refusal(t: Text) -> np.ndarray:
    of_task = has(t.head, EN_TASK) | has(t.head, ZH_TASK)
    of_task |= has(t.head, STOCK) & ~has(t.line, SPOKEN)
    of_self = (has(t.head, EN_SELF) | has(t.head, ZH_SELF)) & ~has(t.line, ROLE)
    asked = has(
        t.ask,
        r"(?i)\b(gpt|chatbot|language models?|ai|assistant)\b[^.\n]{0,60}\b(can ?not|can't|unable|able|can|limit\w*|should)\b|\b(can|limit\w*|why|what)\b[^.\n]{0,40}\b(gpt|language models?|ai)\b|"
        r"\b(can ?not|can't|inappropriate|impossible|limitations?)\b|\brefus\w+|拒绝|婉拒|局限|限制|不能|无法|道歉",
    )
    return (of_task | of_self) & ~asked


INPUT = (
    r"(input|text|sentence|passage|paragraph|article|context|information|details?|document|data|list|story|question|image|picture|photo|file|code|content|email|"
    r"topic|statement|instructions?|options|table|numbers?|example|review|tweet|poem|story)s?"
)
ZH_INPUT = r"(内容|文本|句子|文章|信息|段落|问题|输入|数据|上下文|原文|细节|图片|题目|材料|要求|列表|代码|文字)"
MISSING = (
    rf"(?i)\bno {INPUT} (was|is|were|has been|have been) (provided|given|specified|supplied)|"
    rf"\b(the|your|any|an?) {INPUT} (is|was|were|are|has|have) (missing|not (been )?(provided|given|specified|included|available))\s*([.,!]|$|in the|so |and )|"
    r"\byou (did not|didn't|have not|haven't) (provided?|given?|include|specif\w+)\b|"
    rf"((您|你)|^[^。\n]{{0,25}})(没有|未|并未)(提供|给出|指定|输入|附上)[^。，\n]{{0,12}}{ZH_INPUT}"
)
ASKS_FOR = (
    rf"(?i)(^|[.!?\n] ?|sorry,? (but )?)(could|can|would|will) you (please )?(provide|share|give|specify|tell|supply|clarify)\b[^.\n]{{0,60}}\b{INPUT}\b|"
    rf"(^|[.!?,\n] ?)please (provide|share|specify|supply|give|clarify)\b[^.\n]{{0,60}}\b{INPUT}\b|"
    r"\b(need|require) (more|additional|further) (information|context|details?)\b[^.\n]{0,40}\b(to|in order|before|about)\b|"
    rf"((请|麻烦)(您|你)?|(您|你)需要)(先|再|能否)?(提供|给出|输入|补充|告诉我|说明)[^。，\n]{{0,16}}{ZH_INPUT}"
)


WANTED = (  # asked for in so many words: whatever the task, it is missing
    rf"(?i)\bplease (provide|share|give|supply|paste|send)( me)?( with)? (the|your) {INPUT}[^.\n]{{0,20}} (you('d| would)? (like|want|wish|need)|to (be )?(translat|summari|classif|analy|rewrit|rewritten|edit|correct|proofread|paraphras|convert))|"
    r"请(您|你)?(先)?(提供|给出|输入|发送)(一下)?(您|你)?(需要|要|想要|希望|想)(我)?(翻译|总结|概括|改写|分析|分类|纠正|修改|润色|处理|判断|提取)的"
)


def missing_input(t: Text) -> np.ndarray:
    spoken = has(
        t.ask,
        r"(?i)\b(customer|dialog\w*|conversation|chat\w*|story|script|role|e-?mail|letter|reply|respond)\b|对话|客服|故事|剧本|邮件|回复",
    )
    asked = has(t.ask, ROLE) | has(
        t.ask,
        r"(?i)\b(ask\w*|request\w*|questions?|survey|form|tips|steps|advice|template|inquir\w*|invitation|support|instructions?|agent)\b|"
        r"询问|请求|提问|问卷|申请|步骤|建议|问题|模板|请您",
    )
    spoken |= has(t.ask, MISSING)
    says = (has(t.head, MISSING) & ~spoken) | (has(t.head, ASKS_FOR) & ~asked) | (has(t.head, WANTED) & ~spoken)
    return says & (t.chars < 400) & ~t.code


MEDIA = r"(image|picture|photo|photograph|video|audio|clip|screenshot|sound|recording|pdf|spreadsheet|attachment|painting|map|graph|chart|diagram|drawing|infographic|song|file|document)"
ZH_MEDIA = r"(图片|图像|照片|相片|截图|视频|音频|录音|附件|图表|图画|文件|文档|歌曲)"


def needs_media(t: Text) -> np.ndarray:
    stand_in = has(
        t.ask,
        r"(?i)[\[<(（【]\s*(insert(ed)?|attach(ed|ment)?|see|an?|the|this|附上?|插入|一张|上传)?\s*:?\s*(the |an? )?("
        + MEDIA
        + r"|"
        + ZH_MEDIA
        + r")( (file|here|attached|goes here|link|of [^\]>)]{1,60}))?\s*[\]>)）】]|"
        r"!\[[^\]\n]{0,80}\]\s?[(\[]|https?://\S+\.(jpe?g|png|gif|bmp|webp|mp[34]|wav|avi|mov|pdf)\b|\b(attached|inserted) "
        + MEDIA
        + r"|附(上的?)?"
        + ZH_MEDIA
        + r"|"
        + ZH_MEDIA
        + r"(已附|如附件)",
    )
    points = has(
        t.line,
        r"(?i)\b(this|(the )?(following|given|attached|provided|above|below)|in the|on the|my|these) "
        + MEDIA
        + r"s?\b\s*([.:?,]|$|below|above|(for|and|into|in|as|to|using|shows?|depicts?)\b)|\bthe "
        + MEDIA
        + r"s? (below|above|attached)\s*([.:?,]|$|and\b)|附件(中|里)的|如下?图|下图|上图|(这|此|该|所附的?|附带的?|提供的|给定的?|给出的|以下|下面的?|上面的?)(张|个|段|幅|份|首|些)?(的)?"
        + ZH_MEDIA,
    )
    bare = ~has(t.prompt, r"\S\s*\n\s*\S") & ~has(t.line, r"[:：]\s*[\"“'\w]")  # nothing follows that could describe it
    about = has(
        t.ask,
        r"(?i)\b(html|css|markdown|code|function|program|script|python|url|regex|command|sql|svg|draw|create|design|make|generate a|website|app|class|write a (story|poem)|story|e-?mail|letter|inquiry|message)\b|代码|网页|程序|函数|编写|脚本|设计|创建|绘制|制作",
    )
    return (stand_in | (points & bare & (t.prompt_chars < 150))) & ~about


LINK = r"https?://\S+|www\.\S+"


def needs_link(t: Text) -> np.ndarray:
    return t.only(has(t.prompt, LINK), _needs_link)


def _needs_link(t: Text) -> np.ndarray:
    opens = has(
        t.line,
        r"(?i)\b(open|visit|click|go to|browse|read|summari[sz]e|article|web ?page|website|content|headline|title|post|link|review|news|extract|find|according|author|analy[sz]e|scrape|blog|describe)\b|打开|访问|点击|浏览|阅读|总结|概括|摘要|文章|网页|网站|标题|新闻|链接",
    )
    builds = has(
        pc.replace_substring_regex(t.ask, LINK, " "),
        r"(?i)\b(html|css|code|function|program|script|python|url (encode|decode|shorten)|regex|parse|domain|create|generate|format|shorten|hyperlink|cite|citation|reference|related|links?\b.{0,20}\b(button|page)|validate|valid|anchor|protocol)\b|代码|编写|程序|域名|引用|缩短|生成|创建|格式",
    )
    home = has(t.prompt, r"(?i)(https?://|www\.)[\w.-]+/?\s*$") & has(
        t.line,
        r"(?i)\b(type|kind|categor\w+|classif\w+)\b[^\n]*\b(web ?)?site\b|\b(web ?)?site\b[^\n]*\b(type|kind)\b|类型|分类",
    )  # what kind of site a well-known address is can be told without a visit
    rest = t.prompt_chars - count(t.prompt, r"[!-~]")  # a prompt that is little more than the task and the address
    bare = has(t.prompt, r"(?s)^\s*[^\n]{0,200}\s*?[^\n]{0,40}(" + LINK + r")[^\n]{0,20}\s*$") & (rest < 400)
    return bare & opens & ~builds & ~home & ~has(t.line, r"[:：]\s*[\"“].{40,}")


def placeholder(t: Text) -> np.ndarray:
    left = has(
        t.response,
        r"(?i)lorem ipsum|^\W*todo\b|[\[<{【](please )?(insert|enter|fill in|put|add|place) (your |the |an? |some |specific |relevant )?[\w ,/'’-]{1,40}( here)?[\]>}】]|[(（](insert|fill in) [\w ,/'’-]{1,40}[)）]|[\[<](placeholder|your (answer|text|response|code|content|essay|story)( here)?|text here|answer here|content here|to be (filled|added|completed))[\]>]|"
        r"[【\[（(](请)?(在)?(此处|这里)?(填写|插入|填入|输入|补充|添加)[^】\]）)\n]{0,15}[】\]）)]|(此处|这里)(省略|填写|插入)|[（(【\[]略[）)】\]]|待补充|未完待续",
    )
    wanted = has(
        t.ask,
        r"(?i)\b(template|placeholder|lorem|letter|e-?mail|form|fill|blank|outline|format|invitation|message|contract|agreement|sample|speech|post|resume|cover|script|note|tweet|ad|announcement|code|program|html|function|web ?\w*|input|card|poster|flyer|tagline|press release|bio)\b|模板|占位|信|邮件|表格|填空|大纲|格式|邀请|通知|合同|简历|请假条|代码|网页|演讲",
    )
    return left & ~wanted & ~t.code


NAMES = r"(?i)\b(chatgpt|gpt-?[2345]|gpt (language )?model|openai|anthropic|claude ai|google bard)\b|文心一言|通义千问|讯飞星火"


def gpt_name(t: Text) -> np.ndarray:
    about = has(
        t.prompt,
        r"(?i)\b(a\.?i\.?|gpt\S*|openai|models?|chat ?bots?|artificial|technolog\w*|machine|nlp|language|neural|transformers?|bots?|assistant|tools?|compan\w*|tech|comput\w*|software|data|musk)\b|"
        r"人工智能|模型|机器|语言|技术|科技|助手|工具|软件|公司|马斯克",
    )
    return has(t.response, NAMES) & ~about


def mojibake(t: Text) -> np.ndarray:
    broken = (
        r"â€[™œ\x{9d}\x{99}\x{9c}“”¦˜\x{80}\x{93}\x{94}\x{a6}]|Ã[\x{a0}-\x{bf}]|Â[°£»«·®©\x{a0}]|ï»¿|ï¿½|锟斤拷|烫烫烫|屯屯屯|"
        r"[ÃÂ][\x{80}-\x{9f}]|[äåæçèé][\x{80}-\x{9f}¡-¿][\x{80}-\x{9f}¡-¿]|[Ð][\x{80}-\x{9f}°-¿][ÐÑ]|ã€[‚\x{81}]|锛[\x{5B40}-\x{5DFF}]|銆[\x{4F80}-\x{50FF}]|ï¼[Œ\x{81}š]"
    )
    about = has(t.ask, r"(?i)\b(encod\w*|mojibake|charset|utf-?8|garbled|decod\w*|unicode)\b|乱码|编码|解码")
    return (has(t.response, broken) | has(t.prompt, broken)) & ~about


def replacement_char(t: Text) -> np.ndarray:
    return has(t.prompt, "\ufffd") | has(t.response, "\ufffd")


def invisible_chars(t: Text) -> np.ndarray:
    # Joiners (U+200C, U+200D) belong to Persian and to emoji; U+200B separates words where scripts have no spaces.
    control = r"[\x{00}-\x{08}\x{0b}\x{0e}-\x{1f}\x{7f}-\x{84}\x{86}-\x{9f}\x{202a}-\x{202e}\x{2066}-\x{2069}\p{Co}\x{fffe}\x{ffff}]"
    zero_width = (
        r"\S ?[\x{200b}\x{2060}\x{feff}]+ ?[^\s\x{200b}\x{2060}\x{feff}]"  # inside a line: at its ends it harms nobody
    )
    spaceless = r"[\p{Thai}\p{Khmer}\p{Lao}\p{Myanmar}\p{Tibetan}\p{Arabic}\p{Hebrew}]"
    found = np.zeros(len(t), bool)
    for texts in (t.prompt, t.response):
        found |= has(texts, control) | has(texts, zero_width) & ~has(texts, spaceless)
    return found


def markup_debris(t: Text) -> np.ndarray:
    entity = r"(?i)&(nbsp|amp|lt|gt|quot|apos|ldquo|rdquo|hellip|mdash|#\d{2,5}|#x[0-9a-f]{2,5});"
    escape = r"\\u[0-9a-f]{4}|[\pL.!?,;:。，]\\n(\\n)?[A-Z\d\p{Han}-]"
    tag = r"(?i)</?(br|p|div|span|font|b|i|u|strong|em|li|ul|ol|td|tr|center|blockquote)( [^<>\n]{0,100})?/?>"
    source = has(t.prompt, entity) | has(t.prompt, r"</?[a-z][a-z0-9]*( [^<>]{0,100})?>|\\[nu]")
    styled = has(
        t.ask,
        r"(?i)\b(format\w*|styl\w+|bold|italic\w*|font|underlin\w*|highlight\w*|colou?r\w*|typograph\w*|paste|form|article format|embed|layout|heading|escape|entity|unicode|table|page|blog|newsletter|template|design|link\w*|editor|flyer)\b|"
        r"格式|样式|粗体|加粗|斜体|字体|下划线|高亮|突出|颜色|表单|嵌入|排版|页面|模板|设计",
    )
    document = has(t.response, r"(?i)<(html|form|h[1-6]|body|label|input|img|table|style|section|a href)\b")
    return ((has(t.response, entity) | has(t.response, escape)) & ~source & ~t.code) | (
        has(t.response, tag) & ~source & ~t.code & ~styled & ~document
    )


def belle_word(t: Text) -> np.ndarray:
    """The words on which BELLE's generator discards a task (LianjiaTech/BELLE, 1.5M/generate_instruction.py)."""
    words = r"图像|图片|照片|文件|图表|图层|曲线图|折线图|直线图|柱形图|饼状图|链接|http|(?i:openai|chatgpt|gpt-[34])"
    return has(t.prompt, words) | has(t.response, words) | (has(t.prompt, "GPT"))
