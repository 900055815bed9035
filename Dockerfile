# One image for every node; docker-compose.yml says which node a container is.
FROM python:3.13-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app

# The dependencies first: they change less often than the code, so their layer is reused.
COPY requirements.lock ./
RUN pip install --require-hashes --only-binary :all: -r requirements.lock

# A fixed id, so that a volume keeps its owner across images. A new named volume takes over /data's owner.
RUN groupadd --gid 10001 node \
    && useradd --uid 10001 --gid node --no-create-home --home-dir /data --shell /usr/sbin/nologin node \
    && install -d -o node -g node -m 0700 /data

COPY blockchain ./blockchain
COPY keys ./keys
COPY run_node.py sample_transactions.py ./

USER node
VOLUME /data
EXPOSE 8010 8050

# Alive, not ready: a node that still catches up must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8050/livez', timeout=3)"]

CMD ["python", "run_node.py", "--ip=0.0.0.0", "--node_port=8010", "--api_port=8050", "--data_dir=/data"]
