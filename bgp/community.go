package bgp

// Well-known communities.
const (
	GracefulShutdown  Community = 0xffff0000 // RFC 8326
	LongLivedStale    Community = 0xffff0006 // RFC 9494 §4
	NoLongLived       Community = 0xffff0007 // likewise
	Blackhole         Community = 0xffff029a // RFC 7999
	NoExport          Community = 0xffffff01 // RFC 1997
	NoAdvertise       Community = 0xffffff02
	NoExportSubconfed Community = 0xffffff03
)
