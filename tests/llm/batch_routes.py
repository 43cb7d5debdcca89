"""The files and batches routes of the misbehaving server: a batch is done at its third look; every seventh line
fails."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any


def route(server: Any, method: str, path: str, body: bytes) -> dict | str:
    parts = path.split("?")[0].strip("/").split("/")[1:]
    if parts == ["files"]:
        content = re.search(rb'filename="[^"]*"\r\n(?:[^\r\n]+\r\n)*\r\n(.*?)\r\n--', body, re.S).group(1).decode()
        return file_of(server, content)
    if parts[0] == "files":
        return server.files[parts[1]] if parts[-1] == "content" else {"id": parts[1], "object": "file"}
    if method == "POST" and len(parts) == 1:
        number = f"batch_{len(server.batches)}"
        server.batches[number] = {
            "id": number,
            "object": "batch",
            "status": "validating",
            "looks": 0,
            **json.loads(body),
        }
        return server.batches[number]
    if method == "GET" and len(parts) == 1:
        return {"object": "list", "data": list(server.batches.values())[::-1], "has_more": False}
    batch = server.batches[parts[1]]
    if server.quirk and parts[1] == "batch_0":  # the first one fails: expired, completed without or with an empty file
        if server.quirk == "gone":
            batch["status"] = "cancelled"
            return {"_status": 404, "error": {"message": "no such batch"}}
        batch["status"] = server.quirk.partition(" ")[0]
        if " " in server.quirk:
            batch["output_file_id"] = file_of(server, "")["id"]
        return batch
    batch["looks"] += 1
    batch["status"] = "in_progress"
    if batch["looks"] >= 3 and "output_file_id" not in batch:
        finish(server, batch)
    if batch["looks"] >= 3:
        batch["status"] = "completed"
    return batch


def file_of(server: Any, content: str) -> dict:
    name = f"file_{len(server.files)}"
    server.files[name] = content
    return {
        "id": name,
        "object": "file",
        "bytes": len(content),
        "created_at": 0,
        "filename": "x.jsonl",
        "purpose": "batch",
        "status": "processed",
    }


def finish(server: Any, batch: dict) -> None:
    done, failed = [], []
    for n, line in enumerate(server.files[batch["input_file_id"]].splitlines()):
        request = json.loads(line)
        if n % 7 == 6:
            failed.append(
                {
                    "custom_id": request["custom_id"],
                    "response": {"status_code": 500, "body": {"error": {"message": "oops"}}},
                    "error": None,
                }
            )
            continue
        key = hashlib.blake2b(json.dumps(request["body"], sort_keys=True).encode(), digest_size=12).hexdigest()
        answer = server.content(request["body"], key)
        server.answered[key] += 1
        server.prompt += answer["usage"]["prompt_tokens"]
        server.completion += answer["usage"]["completion_tokens"]
        done.append(
            {"custom_id": request["custom_id"], "response": {"status_code": 200, "body": answer}, "error": None}
        )
    batch["output_file_id"] = file_of(server, "".join(json.dumps(d) + "\n" for d in done))["id"]
    batch["error_file_id"] = file_of(server, "".join(json.dumps(d) + "\n" for d in failed))["id"] if failed else None
