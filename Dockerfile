# tollad on the CPU. See docs/production.md for sizes.
#
#   docker build -t tollad --build-arg TORCH_INDEX=URL .      URL: PyTorch's index of wheels for the CPU
#   docker run --rm -v "$PWD:/data" tollad score model.tollad new.csv -o scores.csv
#
# Without torch and scikit-learn, for the ONNX files of `tollad export`:
#
#   docker build -t tollad-slim --target slim .
#   docker run --rm -v "$PWD:/data" tollad-slim score model.onnx new.csv -o scores.csv
#
# Without TORCH_INDEX pip takes the default wheels of torch, which bring CUDA: some 5 GB more.

FROM python:3.12-slim AS build-slim
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --no-deps . \
 && /venv/bin/pip install --no-cache-dir --constraint constraints.txt numpy pyarrow onnxruntime click safetensors

FROM python:3.12-slim AS slim
COPY --from=build-slim /venv /venv
RUN useradd --create-home tollad
USER tollad
WORKDIR /data
ENV PATH=/venv/bin:$PATH OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1
ENTRYPOINT ["tollad"]
CMD ["--help"]

FROM python:3.12-slim AS build
ARG TORCH_INDEX=
ARG EXTRAS=plot,images
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN python -m venv /venv \
 && if [ -n "$TORCH_INDEX" ]; then /venv/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" torch; fi \
 && /venv/bin/pip install --no-cache-dir --constraint constraints.txt ".[$EXTRAS]"

FROM python:3.12-slim
COPY --from=build /venv /venv
RUN useradd --create-home tollad
USER tollad
WORKDIR /data
# One thread is the fastest for tables; more processes pay, not more threads.
ENV PATH=/venv/bin:$PATH OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1
ENTRYPOINT ["tollad"]
CMD ["--help"]
