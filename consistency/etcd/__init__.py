"""The store over etcd. The only room that imports gRPC and etcd3; of the protocol it imports `core` alone."""

import os

# Before anything here imports gRPC, which reads it then. Its own handlers of a fork end one child in ten by a
# segmentation fault, while a loop uses it. A child can do without: it has to make connections of its own in any case.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
