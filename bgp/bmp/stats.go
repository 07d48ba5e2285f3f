package bmp

import (
	"encoding/binary"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

// Statistics (RFC 7854 §4.8): counters of 32 bits, gauges of 64.
const (
	statClusterLoops    = 3
	statASLoops         = 4
	statOriginatorLoops = 5
	statAdjRIBIn        = 7
	statFamilyAdjRIBIn  = 9
	statWithdrawUpdates = 11
	statAdjRIBOut       = 15 // after the export policy (RFC 8671 §7)
	statFamilyOut       = 17
)

// report gathers the statistics of a message.
type report struct {
	tlvs  []byte
	count uint32
}

func (r *report) counter(kind uint16, n uint64) {
	r.tlvs = appendTLV(r.tlvs, kind, binary.BigEndian.AppendUint32(nil, uint32(n))) // it wraps
	r.count++
}

func (r *report) gauge(kind uint16, n int) {
	r.tlvs = appendTLV(r.tlvs, kind, binary.BigEndian.AppendUint64(nil, uint64(n)))
	r.count++
}

func (r *report) family(kind uint16, f bgp.Family, n int) {
	afi := byte(1)
	if f == bgp.IPv6Unicast {
		afi = 2
	}
	r.tlvs = appendTLV(r.tlvs, kind, binary.BigEndian.AppendUint64([]byte{0, afi, 1}, uint64(n)))
	r.count++
}

// appendReport appends a Statistics Report (RFC 7854 §4.8).
func appendReport(b []byte, c *bgp.Connection, p bgp.PeerState, at time.Time) []byte {
	var r report
	r.counter(statClusterLoops, p.Stats.Loops[bgp.OwnCluster])
	r.counter(statASLoops, p.Stats.Loops[bgp.OwnAS])
	r.counter(statOriginatorLoops, p.Stats.Loops[bgp.OwnOriginator])
	r.gauge(statAdjRIBIn, p.Received)
	r.counter(statWithdrawUpdates, p.Stats.TreatedAsWithdraw)
	r.gauge(statAdjRIBOut, p.Advertised)
	for _, f := range p.Families {
		r.family(statFamilyAdjRIBIn, f.Family, f.Received)
		r.family(statFamilyOut, f.Family, f.Advertised)
	}
	b, start := begin(b, statisticsReport)
	b = appendPeer(b, c, 0, at)
	b = binary.BigEndian.AppendUint32(b, r.count)
	return end(append(b, r.tlvs...), start)
}
