"""Who speaks: the words for roles that are in use, and the keys of a turn."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping

CALL = "call"  # the role of a turn that is a call of a tool
WORDS = {
    "system": "system developer sys 系统 系統",
    "user": "user usr human prompter person instruction query question questioner asker seeker customer client "
            "patient student learner q 用户 用戶 使用者 人类 人類 问 問 提问 提問 提问者 客户 客戶 顾客 患者 "
            "病人 学生 學生 来访者 求助者",
    "assistant": "assistant gpt bot chatbot model ai llm chatgpt bing bard answer response responder agent teacher "
                 "tutor doctor therapist counselor counsellor supporter a 助手 助理 机器人 機器人 ai助手 智能助手 "
                 "人工智能 模型 答 回答 回复 回覆 客服 医生 醫生 老师 老師 教师 咨询师 心理咨询师",
    "tool": "tool function observation function_response tool_response function-response tool_result tool_results "
            "tool_output tool_outputs function_result function_output ipython environment api api_response 工具",
    CALL: "function_call function_calls function-call tool_call tool_calls tool-call tool_use",
}  # fmt: skip
SPEAKERS = {word: role for role, words in WORDS.items() for word in words.split()}
# A model by its name: gpt-4, openai/gpt-3.5-turbo, claude-3-opus, Llama 3 8B.
MODEL = re.compile(
    r"(?:[\w.-]+/)?(?:chat)?(?:gpt|claude|llama|vicuna|alpaca|wizardlm|qwen|qwq|gemini|gemma|palm|bard|deepseek|mistral|"
    r"mixtral|command|falcon|phi|yi|moss|belle|baichuan|chatglm|glm|internlm|ernie|kimi|moonshot|minimax|doubao|hunyuan|"
    r"grok|koala|dolly|tulu|olmo|nemotron|granite|davinci|text-davinci|o1|o3|o4|smollm|openassistant|oasst|"
    r"stablelm|zephyr|hermes|hyperclova|solar|exaone)(?:[-_ .:/]?(?:v?\d|[a-z]+[-_ .]?v?\d|[-_ .:/]).*)?\Z"
)
AROUND = re.compile(r"\A(?:<\|?|\[|#+\s*)?\s*(.*?)\s*(?:\|?>|\])?\s*[:：]?\Z", re.S)  # "User:", "<|user|>", "[Human]:"

# Keys of a turn: who speaks, what is said.
SPEAKER = ("role", "from", "speaker", "author", "sender", "角色", "发言人", "说话人")
TEXT = ("content", "value", "text", "utterance", "message", "parts", "内容", "內容")
# Keys of an item that holds a whole exchange: what is asked, what is answered (Firefly, XTuner, others).
PAIRS = (
    ("human", "assistant"), ("user", "assistant"), ("human", "bot"), ("human", "gpt"), ("input", "output"),
    ("query", "response"), ("question", "answer"), ("prompt", "response"), ("prompt", "completion"),
    ("instruction", "output"), ("instruction", "response"), ("q", "a"),
    ("问题", "回答"), ("问", "答"), ("用户", "助手"), ("提问", "回答"), ("問題", "回答"), ("用戶", "助手"),
)  # fmt: skip


def is_turn(keys: Container[str]) -> bool:
    """Whether an object with these keys is a turn: it says who speaks, and what."""
    return any(k in keys for k in SPEAKER) and any(k in keys for k in (*TEXT, "tool_calls"))


def role_of(word: str, roles: Mapping[str, str] = SPEAKERS) -> str | None:
    """The role that a speaker's name (normalised) stands for; None where nobody uses it."""
    found = roles.get(word)
    if found is None:
        inner = AROUND.sub(r"\1", word)
        found = roles.get(inner) or ("assistant" if MODEL.match(inner) else None)
    return found
