"""The etcd that comes along: who starts it, who shares it, how it ends. Imports no gRPC."""
