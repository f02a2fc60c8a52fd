"""Every setting, how it is read and explained, and which etcd it names."""
