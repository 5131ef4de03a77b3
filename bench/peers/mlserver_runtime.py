"""The same ONNX Runtime session inside MLServer, as a custom runtime."""

from __future__ import annotations

import os
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from model import predictor


class OnnxRuntimeModel(MLModel):
    async def load(self) -> bool:
        self.run = predictor(Path(os.environ["PEER_FOLDER"]), "onnx")
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output("predict", self.run(rows))
        return InferenceResponse(model_name=self.name, outputs=[output])
