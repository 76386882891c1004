# Worker image for Dataflow, and for Spark with a container environment: Beam's SDK image with this package installed from locked
# versions. Build with `docker build -t cc100 .`; Python and Beam must be those of the machine that submits.
FROM apache/beam_python3.11_sdk:2.77.0

# Beam's boot program would make an environment for every worker otherwise.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1

WORKDIR /opt/cc100
COPY constraints.txt setup.py pyproject.toml README.md ./
COPY pipeline pipeline
COPY transforms transforms
COPY tokenizer tokenizer
COPY shards shards
RUN pip install --no-cache-dir --constraint constraints.txt '.[aws,gcp]' && pip check

# Compile the kernels once, into the image, so that no worker does. It also shows that the language model is there, which a
# dependency carries: workers fetch nothing when they start.
ENV NUMBA_CACHE_DIR=/opt/cc100/numba-cache
COPY examples/crawl /tmp/crawl
RUN cc100 corpus --input /tmp/crawl --output /tmp/out --workers 1 && rm -r /tmp/crawl /tmp/out

# Beam's own entry point stays: the runner starts the workers through it.
