// Package integration holds the tests of whole daemons: built programs in
// network namespaces, with etcd, FRR, BIRD and GoBGP beside them, and real packets.
// Its fabric package builds what they run in. Adapters to orchestrators will
// stand beside it.
package integration
