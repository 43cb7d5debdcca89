"""Words that name a task, Chinese and English, grouped by what they ask for.

One concept is one feature, so what a Chinese row teaches holds for an English one, and a rare word for a common one.
Phrases are matched as whole words, of at most three English words or four Chinese characters.
"""

CONCEPTS = {
    "translate": "translate, translation, translations, translating, into english, into chinese, into french, into "
                 "spanish, "
    "into german, into japanese, in french, in spanish, to english, to spanish, to chinese, 翻译, 译成, 译为, 译文, 英译, 中译英, "
    "英译中, 翻成",
    "language": "english, chinese, french, spanish, german, japanese, 英文, 英语, 中文, 汉语, 法语, 日语, 德语, 西班牙语, 文言文, 白话文",
    "summarize": "summarize, summarise, summary, summaries, summarizing, summarization, tldr, sum up, condense, main "
                 "points, "
    "key points, main idea, key takeaways, in one sentence, 总结, 概括, 摘要, 概述, 归纳, 要点, 大意, 主旨, 中心思想, 提炼, 一句话",
    "rewrite": "rewrite, rephrase, reword, paraphrase, paraphrasing, rewriting, restate, revise, rewritten, 改写, 重写, "
               "改成, 改为, "
    "换种说法, 换一种, 另一种, 重新表达, 重新表述, 仿写, 改编",
    "polish": "correct, fix, proofread, grammar, polish, improve, spelling, typos, edit, better english, clearer, "
              "more readable, "
    "润色, 纠正, 改正, 修正, 修改, 语法, 错别字, 病句, 通顺, 可读性",
    "simplify": "simplify, simpler, simple terms, plain language, easier to, shorten, shorter, concise, grader, 简化, "
                "通俗, 易懂, 简洁, 精简, 缩短, 缩写",
    "expand": "expand, elaborate, longer, lengthen, more detail, more details, continue, 扩写, 扩展, 续写, 补充, 丰富",
    "tone": "tone, formal, polite, informal, professional, friendly, persuasive, style, 语气, 口吻, 正式, 礼貌, 风格, 委婉, 形容词",
    "convert": "convert, turn this, turn the, change the, transform, 转换, 变成, 转化, 换成",
    "classify": "classify, categorize, categorise, classification, category, categories, label, labels, belongs to, "
                "group the, "
    "which of the, which is, which are, tell me which, identify which, 分类, 归类, 类别, 哪一类, 哪类, 属于, 分为, 划分, 标签, 类型",
    "sentiment": "sentiment, positive, negative, emotion, 情感, 积极, 消极, 正面, 负面, 情绪, 褒义, 贬义, 倾向, 中性",
    "extract": "extract, find all, identify, pick out, pull out, mentioned, keywords, key words, entities, from the "
               "text, "
    "from the passage, 提取, 抽取, 找出, 摘录, 识别, 关键词, 关键字, 实体, 挑出, 信息",
    "passage": "passage, article, paragraph, following text, text below, this text, based on, according to, given "
               "the, context, "
    "reference text, the above, the following, given a, excerpt, 根据, 以下, 下面, 文章, 段落, 阅读, 短文, 文本, 上文, 材料, 文中, 这段, 给定, "
    "原文, 下列",
    "question": "question, questions, answer, answer the, q, 问题, 回答, 解答, 答案, 请问, 提问",
    "who": "who, whom, whose, who was, who is, 谁, 哪位, 何人, 哪些人",
    "what": "what is, what are, what was, what does, what s, define, definition, meaning of, 什么是, 是什么, 定义, 含义, 什么意思, "
            "何谓, 什么",
    "why": "why, reason, reasons, cause, causes, why do, why is, 为什么, 为何, 原因, 何以",
    "how": "how to, how do, how can, how does, how should, steps, how i, how would, 如何, 怎么, 怎样, 步骤, 方法",
    "quantity": "how many, how much, how long, how far, how old, in total, average, percent, percentage, 多少, 几个, 多长, "
                "几天, "
    "平均, 总共, 一共, 共有, 百分之, 多远, 总和, 几分",
    "time or place": "when, where, what year, which country, which city, when did, when was, where is, 什么时候, 何时, 哪里, "
                     "在哪, 哪一年, 哪年, 位于, 哪个",
    "mathematics": "calculate, compute, solve, equation, value of, area, probability, triangle, perimeter, integer, "
                   "sum of, "
    "multiply, divided by, 计算, 求, 方程, 面积, 周长, 概率, 列式, 等于, 千米, 厘米, 元, 千克, 公里, 小时, 倍, 平均每",
    "code": "code, python, java, javascript, function, program, sql, script, html, css, algorithm, regex, api, bug, "
            "compile, c, "
    "array, rust, bash, class, variable, query, react, 代码, 函数, 程序, 编程, 算法, 脚本, 数据库, 查询语句, 正则, 变量, 数组, 报错, 接口",
    "write": "write, compose, draft, create, generate, produce, write a, write me, 写, 撰写, 创作, 编写, 生成, 起草, 写一, 写出, "
             "拟写, 编一",
    "letter": "email, letter, memo, invitation, message, e mail, 邮件, 写信, 一封, 邀请函, 信件, 通知, 贺卡, 感谢信",
    "essay": "essay, blog, report, paper, news, speech, post, thesis, introduction, 作文, 论文, 报告, 博客, 新闻, 演讲稿, 稿, 一篇, "
             "议论文, 评论",
    "story": "story, novel, tale, fable, scene, screenplay, plot, characters, dialogue, 故事, 小说, 童话, 寓言, 剧本, 情节, 对话, 日记",
    "verse": "poem, poetry, haiku, lyrics, song, verse, rhyme, limerick, sonnet, rap, 诗, 诗歌, 歌词, 一首, 对联, 散文",
    "promote": "advertisement, slogan, ad, marketing, product description, tagline, pitch, brand, campaign, "
               "instagram, tweet, "
    "linkedin, 广告, 宣传, 文案, 口号, 标语, 产品描述, 推广, 朋友圈",
    "title": "title, titles, headline, headlines, name for, names for, 标题, 题目, 起名, 命名, 取名, 名字",
    "ideas": "ideas, suggest, suggestions, brainstorm, come up with, recommend, recommendations, tips, ways to, "
             "think of, some ways, "
    "what are some, give me some, 想法, 建议, 推荐, 点子, 创意, 头脑风暴, 有哪些, 提供一些, 方案, 给出一些, 哪些",
    "list": "list, name three, top five, top 5, enumerate, bullet, list of, names of, 列出, 列举, 列表, 清单, 罗列, 几种, 三个, 五个",
    "role": "act as, you are a, you are an, pretend, imagine you, role of, roleplay, role play, persona, want you "
            "to, play the, "
    "扮演, 你是, 假设你, 假如你, 角色, 模仿, 身份, 作为一",
    "reason": "step by step, logic, reasoning, infer, deduce, puzzle, therefore, conclude, conclusion, 推理, 逐步, 一步一步, "
              "逻辑, 推断, 推出, 那么, 结论, 一步步",
    "explain": "explain, describe, tell me about, introduce, overview, explanation, 解释, 说明, 描述, 介绍, 阐述, 讲解, 简述",
    "compare": "compare, difference, differences, versus, vs, contrast, better, advantages, pros and cons, 比较, 区别, "
               "对比, 不同, 差异, 优缺点, 优势",
    "analyze": "analyze, analyse, analysis, evaluate, review, critique, discuss, examine, data, 分析, 评价, 讨论, 点评, 评估, 数据",
    "opinion": "opinion, should, believe, your view, do you think, ethical, moral, 看法, 认为, 观点, 应该, 你觉得",
    "advice": "advice, help me, should i, i feel, i am, i want, i need, my, i m, how can i, 我想, 我该, 帮我, 怎么办, 我的",
    "plan": "plan, schedule, itinerary, agenda, routine, trip, course, 计划, 规划, 日程, 行程, 安排",
    "recipe": "recipe, cook, ingredients, dish, meal, 食谱, 菜谱, 做法, 菜, 烹饪",
    "legal": "contract, agreement, clause, legal, policy, law, 合同, 协议, 条款, 法律",
    "job": "resume, cover letter, cv, job, job application, interview, 简历, 求职信, 求职, 面试",
    "choice": "multiple choice, quiz, options, choose, select, which one, 选择, 选项, 以下哪, 单选, 哪一项",
    "yes or no": "is it, are there, is there, true or false, is this, is the, can you, 是否, 对吗, 是不是, 吗, 能否, 判断",
    "form": "table, json, csv, markdown, bullet points, format, template, 表格, 格式, 模板",
    "limit": "words, sentences, characters, no more than, at least, word, 不少于, 不超过, 字左右, 字以内, 字的, 至少",
    "complete": "complete, finish, fill in, blank, missing, 补全, 填空, 填写, 空白, 完成",
    "rank": "rank, order, sort, ranking, ordered, 排序, 排列, 排名, 顺序",
    "if": "if, what if, suppose, imagine, would have happened, had not, 如果, 假如, 假设, 要是",
    "fact": "true, fact, false, verify, correct that, did, evidence, 真的, 事实, 正确",
    "greeting": "hello, hi, hey, thanks, how are you, 你好, 您好, 谢谢",
    "impossible": "image, video, file, link, http, https, upload, website, 图片, 视频, 链接, 文件, 网址",
}  # fmt: skip
