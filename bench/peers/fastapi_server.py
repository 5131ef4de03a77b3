"""FastAPI under uvicorn: folder kind port."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from model import answer_of, predictor, rows_of

server = FastAPI()
predict = predictor(Path(sys.argv[1]), sys.argv[2])


@server.post("/infer")
async def infer(request: Request) -> dict[str, Any]:
    return answer_of(predict(rows_of(await request.json())))


uvicorn.run(server, host="127.0.0.1", port=int(sys.argv[3]), log_level="warning")
