"""One instance at work: state, reads and writes, watch, membership. Imports `core`; knows no etcd."""
