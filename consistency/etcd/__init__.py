"""The store over etcd. The only room that imports gRPC and etcd3; of the protocol it imports `core` alone."""
