# Worker image for Dataflow, and for Spark with a container environment: Beam's SDK image with this package installed from locked
# versions. Build with `docker build -t cc100 .`; Python and Beam must be those of the machine that submits.
# To pin it beyond the tag: --build-arg BASE=apache/beam_python3.11_sdk@sha256:...
ARG BASE=apache/beam_python3.11_sdk:2.77.0
FROM ${BASE}

# Beam's boot program would make an environment for every worker otherwise.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1

WORKDIR /opt/cc100
COPY constraints.txt setup.py pyproject.toml README.md ./
COPY pipeline pipeline
COPY transforms transforms
COPY tokenizer tokenizer
COPY shards shards
RUN pip install --no-cache-dir --constraint constraints.txt '.[aws,gcp]' && pip check

# Compile the kernels of all stages once, into the image, so that no worker does; for any x86-64 processor with AVX2, because Numba
# takes what it compiled only for the processor that it is told (for ARM: --build-arg CPU=generic). It also shows that the language
# model is there, which a dependency carries: workers fetch nothing when they start.
ARG CPU=x86-64-v3
ENV NUMBA_CPU_NAME=${CPU} NUMBA_CPU_FEATURES="" NUMBA_CACHE_DIR=/opt/cc100/numba-cache
COPY examples/crawl /tmp/crawl
RUN cc100 run --input /tmp/crawl --output /tmp/out --workers 1 --set tokenizer.vocab_size=auto \
    && python -c 'from cc100.pipeline.portable.preload import preload; preload()' \
    && rm -r /tmp/crawl /tmp/out

# Beam's own entry point stays: the runner starts the workers through it.
