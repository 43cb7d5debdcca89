"""Words that may stand for each other in a sentence and make it say something else: contraries in the same form, and members
of a kind. distractors.py swaps them. (dedup/contrast.py lists words by meaning only: their forms do not fit each other.)"""

from __future__ import annotations

# word|contrary, in the same form, either may be replaced by the other. English: whole words.
PAIRS_EN = """increase|decrease increases|decreases increased|decreased increasing|decreasing more|less higher|lower highest|lowest
larger|smaller largest|smallest bigger|smaller biggest|smallest greater|smaller greatest|smallest longer|shorter longest|shortest
faster|slower fastest|slowest older|younger oldest|youngest stronger|weaker strongest|weakest better|worse best|worst
maximum|minimum maximize|minimize maximizing|minimizing positive|negative positively|negatively advantage|disadvantage
advantages|disadvantages strengths|weaknesses before|after earlier|later early|late always|never everyone|nobody inside|outside
internal|external formal|informal legal|illegal possible|impossible safe|dangerous healthy|unhealthy easy|difficult easier|harder
easily|hardly simple|complex cheap|expensive hot|cold warm|cool hotter|colder warmer|cooler wet|dry light|dark bright|dim heavy|light
happy|sad strong|weak rich|poor fast|slow deep|shallow wide|narrow thick|thin ancient|modern artificial|natural true|false
correct|incorrect valid|invalid active|passive public|private local|global static|dynamic singular|plural noun|verb
north|south northern|southern east|west eastern|western left|right top|bottom upper|lower up|down
import|export imports|exports imported|exported buy|sell buying|selling accept|reject accepted|rejected agree|disagree
allow|prevent allows|prevents allowing|preventing improve|worsen improves|worsens improved|worsened improving|worsening
reduce|increase reduces|increases reduced|increased reducing|increasing raise|lower raising|lowering strengthen|weaken
strengthens|weakens create|destroy creates|destroys created|destroyed gain|lose gained|lost win|lose success|failure
successful|unsuccessful start|end starts|ends started|ended beginning|end first|last include|exclude includes|excludes
including|excluding enable|disable enables|disables many|few most|least high|low long|short large|small
absorb|release absorbs|releases acidic|alkaline acid|base proton|electron protons|electrons plants|animals plant|animal
summer|winter morning|evening day|night sunrise|sunset male|female men|women man|woman boy|girl husband|wife father|mother
son|daughter brother|sister king|queen teacher|student buyer|seller supply|demand profit|loss profits|losses
supported|opposed support|oppose supports|opposes encourage|discourage encourages|discourages love|hate loved|hated
remember|forget ascending|descending odd|even parent|child input|output
present|absent sufficient|insufficient necessary|unnecessary useful|useless efficient|inefficient effective|ineffective
responsible|irresponsible reliable|unreliable comfortable|uncomfortable important|unimportant familiar|unfamiliar
optimistic|pessimistic similar|different same|opposite increasingly|decreasingly visible|invisible renewable|non-renewable
perfect|flawed careful|careless hopeful|hopeless honest|dishonest polite|rude calm|anxious clean|dirty full|empty alive|dead
friend|enemy friends|enemies peace|war beautiful|ugly weekend|weekday weekends|weekdays he|she beauty|ugliness wisdom|folly victory|defeat joy|sorrow"""

# Words of several meanings: their contrary may miss the one that is meant.
AMBIGUOUS_EN = """he she up down base acid light right left even odd present last first end ends close open cool lower fine
support oppose top plant plants animal animals day night child parent man woman input output long short high low
many few most least more less raise lose"""

# Chinese: found anywhere, the longest first; words of which a part means something else are left out.
PAIRS_ZH = """增加|减少 增长|下降 上升|下降 增强|减弱 增大|减小 增多|减少 提高|降低 提升|降低 加快|减慢 加速|减缓 扩大|缩小 促进|阻碍 改善|恶化
有助于|不利于 有利于|不利于 有益于|有害于 有益|有害 有效|无效 优点|缺点 优势|劣势 好处|坏处 正面|负面 积极|消极 乐观|悲观 肯定|否定
最大|最小 最高|最低 最长|最短 最多|最少 最快|最慢 最早|最晚 最好|最差 最佳|最差 更高|更低 更大|更小 更多|更少 更快|更慢 更好|更差 更强|更弱
较高|较低 较大|较小 较多|较少 较强|较弱 较长|较短 高于|低于 大于|小于 多于|少于 早于|晚于 之前|之后
左侧|右侧 左边|右边 向左|向右 向上|向下 上午|下午 早上|晚上 早晨|傍晚 白天|夜晚 夏天|冬天 夏季|冬季 春天|秋天 春季|秋季
东部|西部 南部|北部 东方|西方 南方|北方 东北|西南 东南|西北 国内|国外 内部|外部 室内|室外 支持|反对 赞成|反对 同意|反对 允许|禁止
接受|拒绝 打开|关闭 开始|结束 购买|出售 买入|卖出 进口|出口 输入|输出 收入|支出 盈利|亏损 成功|失败 胜利|失败 安全|危险 健康|不健康
容易|困难 简单|复杂 便宜|昂贵 充足|不足 足够|不足 必须|不必 必要|不必要 总是|从不 经常|很少 可能|不可能 可以|不可以 能够|不能 应该|不应该
应当|不应当 属于|不属于 包括|不包括 适合|不适合 符合|不符合 一致|不一致 正确|错误 真实|虚假 主动|被动 公开|秘密
现代|古代 自然|人工 快乐|悲伤 喜欢|讨厌 热爱|憎恨 美丽|丑陋 温暖|寒冷 炎热|寒冷 明亮|昏暗 光明|黑暗 希望|绝望 勇敢|胆怯 坚强|软弱 善良|邪恶
诚实|虚伪 勤奋|懒惰 耐心|急躁 和平|战争 朋友|敌人 男性|女性 男孩|女孩 男人|女人 父亲|母亲 爸爸|妈妈 哥哥|弟弟 姐姐|妹妹 儿子|女儿 丈夫|妻子
动物|植物 吸收|释放 酸性|碱性 奇数|偶数 升序|降序 递增|递减 减少|增加 降低|提高 避免|导致 防止|导致 保护|破坏
保持|失去 遵守|违反 尊重|轻视 鼓励|阻止 信任|怀疑 独立|依赖 主要|次要 重要|次要 熟悉|陌生 方便|不便 稳定|不稳定 清晰|模糊 干净|肮脏 他|她"""
# Beside these a word is denied or compared already, or a part of another one: 不可能, 可能性
NOT_BEFORE_ZH = "不没未无非所尽是很其吉利排"
NOT_AFTER_ZH = "性度力"

# Members of a kind: each may take another's place.
KINDS = """January|February|March|April|June|July|August|September|October|November|December
Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday
red|blue|green|yellow|purple|orange|pink|brown
two|three|four|five|six|seven|eight|nine|ten
twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety
hundred|thousand|million|billion
hours|days|weeks|months|years|minutes|seconds
kilometers|miles|meters|centimeters|inches|feet
kilograms|pounds|grams|ounces
Mercury|Venus|Mars|Jupiter|Saturn|Uranus|Neptune
Asia|Africa|Europe|Australia|Antarctica
Pacific|Atlantic|Arctic
China|Japan|India|Germany|France|Italy|Spain|Brazil|Canada|Mexico|Russia|Egypt|Kenya|Greece|Turkey|Sweden|Norway|Poland|Chile|Peru
Chinese|Japanese|Indian|German|French|Italian|Spanish|Brazilian|Canadian|Mexican|Russian|Egyptian|Greek|Turkish
London|Paris|Berlin|Madrid|Rome|Vienna|Tokyo|Beijing|Moscow|Cairo|Sydney|Toronto|Chicago|Boston|Seattle|Delhi|Dublin|Lisbon
California|Texas|Florida|Ohio|Virginia|Georgia|Michigan|Colorado|Oregon|Arizona
oxygen|hydrogen|nitrogen|helium|carbon|chlorine
iron|copper|zinc|aluminum|nickel|silver|gold
heart|liver|lungs|kidneys|stomach|brain
physics|chemistry|biology|geology|astronomy
Python|Java|Ruby|JavaScript|Rust|Haskell
noun|adjective|adverb|pronoun|preposition
nouns|adjectives|adverbs|pronouns|prepositions
metaphor|simile|personification|hyperbole|alliteration
triangle|square|circle|rectangle|pentagon
addition|subtraction|multiplication|division
Shakespeare|Dickens|Hemingway|Tolstoy|Austen|Orwell
Einstein|Newton|Galileo|Darwin|Curie
Lincoln|Washington|Jefferson|Roosevelt|Kennedy
apple|orange|banana|pear|grape|peach
apples|oranges|bananas|pears|grapes|peaches
chicken|beef|pork|fish|lamb
butter|sugar|flour|salt|milk
dog|cat|horse|rabbit|sheep|goat
dogs|cats|horses|rabbits|goats
lion|tiger|elephant|giraffe|wolf|bear
doctor|lawyer|engineer|accountant|architect
anger|fear|surprise|disgust
中国|日本|印度|德国|法国|意大利|西班牙|巴西|加拿大|墨西哥|俄罗斯|埃及|希腊|土耳其|英国|美国|韩国|泰国|澳大利亚
北京|上海|广州|深圳|成都|杭州|南京|武汉|西安|重庆|天津|苏州|长沙|青岛|厦门|昆明
伦敦|巴黎|柏林|马德里|罗马|东京|莫斯科|悉尼|多伦多|芝加哥|纽约
四川|广东|浙江|江苏|湖南|湖北|云南|山东|河北|福建
中文|英文|法文|德文|日文|俄文
汉语|英语|法语|德语|日语|俄语
唐代|宋代|元代|明代|清代|汉代
唐朝|宋朝|元朝|明朝|清朝|汉朝
李白|杜甫|白居易|苏轼|王维|陆游|李清照
红楼梦|西游记|水浒传|三国演义
鲁迅|老舍|巴金|茅盾|沈从文
亚洲|非洲|欧洲|南美洲|北美洲|大洋洲
太平洋|大西洋|印度洋|北冰洋
水星|金星|火星|木星|土星|天王星|海王星
氧气|氢气|氮气|氯气|二氧化碳
心脏|肝脏|肺部|肾脏|胃部|大脑
物理|化学|生物|地理|历史
名词|动词|形容词|副词|代词
比喻|拟人|夸张|排比
红色|蓝色|绿色|黄色|紫色|橙色|粉色|棕色
周一|周二|周三|周四|周五|周六|周日
星期一|星期二|星期三|星期四|星期五|星期六|星期日
三角形|正方形|圆形|长方形|五边形
加法|减法|乘法|除法
面积|周长|体积|半径|直径
厘米|毫米|千米|分米
公斤|毫克|公吨
小时|分钟|星期|个月
小明|小红|小刚|小华|小丽|小李|小张|小王
苹果|香蕉|橙子|桃子|西瓜
鸡肉|牛肉|猪肉|鱼肉|羊肉
白糖|食盐|面粉|牛奶|酱油
小狗|小猫|兔子|小马|山羊
狮子|老虎|大象|长颈鹿|狐狸
医生|律师|教师|工程师|会计
哺乳动物|爬行动物|鸟类|鱼类|昆虫
愤怒|恐惧|惊讶|厌恶
体育|娱乐|科技|财经|教育"""


def contraries() -> tuple[dict[str, str], dict[str, str]]:
    """(English, Chinese): each word and its contrary; of several, the one listed first."""
    both = []
    for text in (PAIRS_EN, PAIRS_ZH):
        pairs = [pair.split("|") for pair in text.split()]
        known: dict[str, str] = {}
        for a, b in pairs:
            known.setdefault(a, b)
        for a, b in pairs:
            known.setdefault(b, a)
        both.append(known)
    return both[0], both[1]


def kinds() -> dict[str, list[str]]:
    """Each member of a kind and the others."""
    found: dict[str, list[str]] = {}
    for line in KINDS.splitlines():
        members = line.split("|")
        for member in members:
            found.setdefault(member, [m for m in members if m != member])
    return found
