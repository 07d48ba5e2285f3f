package wire

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

// parse reads the capabilities of one parameter into c. A capability that is
// cut off, or known and of the wrong length, is an error (RFC 4271 §6.2, subcode
// 0). Of one that comes twice the last counts, except that families add up and
// that roles must agree.
func (c *Capabilities) parse(b []byte) error {
	for len(b) > 0 {
		if len(b) < 2 || int(b[1]) > len(b)-2 {
			return openError(0)
		}
		code, value := b[0], b[2:2+int(b[1])]
		if err := c.parseOne(code, value); err != nil {
			return err
		}
		b = b[2+len(value):]
	}
	return nil
}

func (c *Capabilities) parseOne(code uint8, v []byte) error {
	ok := true
	switch code {
	case capMultiprotocol:
		if ok = len(v) == 4; ok {
			c.addFamily(FamilyCode{AFI: binary.BigEndian.Uint16(v), SAFI: v[3]})
		}
	case capRouteRefresh:
		ok, c.RouteRefresh = len(v) == 0, true
	case capEnhancedRefresh:
		ok, c.EnhancedRefresh = len(v) == 0, true
	case capExtendedMessage:
		ok, c.ExtendedMessage = len(v) == 0, true
	case capFourByteAS:
		if ok = len(v) == 4; ok {
			c.FourByteAS, c.AS = true, binary.BigEndian.Uint32(v)
		}
	case capRole:
		if ok = len(v) == 1; ok {
			return c.setRole(v[0])
		}
	case capExtendedNextHop:
		ok = c.parseExtendedNextHop(v)
	case capAddPath:
		ok = c.parseAddPath(v)
	case capGracefulRestart:
		ok = c.parseGracefulRestart(v)
	case capLongLived:
		ok = c.parseLongLived(v)
	default:
		if !slices.Contains(c.Unknown, code) {
			c.Unknown = append(c.Unknown, code)
		}
	}
	if !ok {
		return openError(0)
	}
	return nil
}

func (c *Capabilities) addFamily(f FamilyCode) {
	c.Multiprotocol = true
	if known := f.Family(); known != 0 {
		c.Families = c.Families.With(known)
	} else if !slices.Contains(c.Others, f) {
		c.Others = append(c.Others, f)
	}
}

// setRole takes the role of the wire. Two that differ are a mismatch (RFC 9234
// §4.2); one that has no name is none.
func (c *Capabilities) setRole(v uint8) error {
	role := bgp.RoleNone
	if v <= uint8(bgp.RolePeer-bgp.RoleProvider) {
		role = bgp.RoleProvider + bgp.Role(v)
	}
	if c.Role != bgp.RoleNone && c.Role != role {
		return openError(RoleMismatch)
	}
	c.Role = role
	return nil
}

func (c *Capabilities) parseExtendedNextHop(v []byte) bool {
	if len(v)%6 != 0 {
		return false
	}
	for ; len(v) > 0; v = v[6:] {
		afi, safi, hop := binary.BigEndian.Uint16(v), binary.BigEndian.Uint16(v[2:]), binary.BigEndian.Uint16(v[4:])
		if afi == afiIPv4 && safi == safiUnicast && hop == afiIPv6 {
			c.ExtendedNextHop = true
		}
	}
	return true
}

func (c *Capabilities) parseAddPath(v []byte) bool {
	if len(v) == 0 || len(v)%4 != 0 {
		return false
	}
	c.AddPathReceive, c.AddPathSend = 0, 0
	for ; len(v) > 0; v = v[4:] {
		f := FamilyCode{AFI: binary.BigEndian.Uint16(v), SAFI: v[2]}.Family()
		if v[3] > 3 {
			continue // not understood, to be ignored (RFC 7911 §4)
		}
		if v[3]&1 != 0 {
			c.AddPathReceive = c.AddPathReceive.With(f)
		}
		if v[3]&2 != 0 {
			c.AddPathSend = c.AddPathSend.With(f)
		}
	}
	return true
}

func (c *Capabilities) parseGracefulRestart(v []byte) bool {
	if len(v) < 2 || (len(v)-2)%4 != 0 {
		return false
	}
	g := &GracefulRestart{
		Restarting:   v[0]&0x80 != 0,
		Notification: v[0]&0x40 != 0,
		Time:         time.Duration(binary.BigEndian.Uint16(v)&0xfff) * time.Second,
	}
	for v = v[2:]; len(v) > 0; v = v[4:] {
		f := FamilyCode{AFI: binary.BigEndian.Uint16(v), SAFI: v[2]}.Family()
		g.Families = g.Families.With(f)
		if v[3]&0x80 != 0 {
			g.Forwarding = g.Forwarding.With(f)
		}
	}
	c.GracefulRestart = g
	return true
}

func (c *Capabilities) parseLongLived(v []byte) bool {
	if len(v)%7 != 0 {
		return false
	}
	c.LongLived = nil
	for ; len(v) > 0; v = v[7:] {
		f := FamilyCode{AFI: binary.BigEndian.Uint16(v), SAFI: v[2]}.Family()
		if f == 0 {
			continue
		}
		c.LongLived = slices.DeleteFunc(c.LongLived, func(l LongLived) bool { return l.Family == f })
		c.LongLived = append(c.LongLived, LongLived{
			Family: f, Forwarding: v[3]&0x80 != 0,
			Time: time.Duration(binary.BigEndian.Uint32(v[3:])&0xffffff) * time.Second,
		})
	}
	return true
}

// append appends c as the value of a capabilities parameter.
func (c Capabilities) append(b []byte) ([]byte, error) {
	for _, f := range c.Families.All() {
		b = appendFamily(append(b, capMultiprotocol, 4), f, true)
	}
	for _, f := range c.Others {
		b = append(b, capMultiprotocol, 4, byte(f.AFI>>8), byte(f.AFI), 0, f.SAFI)
	}
	for _, flag := range []struct {
		set  bool
		code uint8
	}{{c.RouteRefresh, capRouteRefresh}, {c.ExtendedMessage, capExtendedMessage}, {c.EnhancedRefresh, capEnhancedRefresh}} {
		if flag.set {
			b = append(b, flag.code, 0)
		}
	}
	if c.ExtendedNextHop {
		b = append(b, capExtendedNextHop, 6, 0, afiIPv4, 0, safiUnicast, 0, afiIPv6)
	}
	if c.Role != bgp.RoleNone {
		b = append(b, capRole, 1, byte(c.Role-bgp.RoleProvider))
	}
	if c.FourByteAS {
		b = binary.BigEndian.AppendUint32(append(b, capFourByteAS, 4), c.AS)
	}
	if paths := (c.AddPathReceive | c.AddPathSend).All(); len(paths) > 0 {
		b = append(b, capAddPath, byte(4*len(paths)))
		for _, f := range paths {
			b = append(appendFamily(b, f, false), bit(c.AddPathReceive.Has(f), 1)|bit(c.AddPathSend.Has(f), 2))
		}
	}
	return c.appendRestart(b)
}

func (c Capabilities) appendRestart(b []byte) ([]byte, error) {
	if g := c.GracefulRestart; g != nil {
		seconds := g.Time / time.Second
		if seconds < 0 || seconds > 0xfff {
			return b, errors.New("encode OPEN: restart time is not 0 to 4095 s")
		}
		families := g.Families.All()
		b = append(b, capGracefulRestart, byte(2+4*len(families)))
		b = append(b, bit(g.Restarting, 0x80)|bit(g.Notification, 0x40)|byte(seconds>>8), byte(seconds))
		for _, f := range families {
			b = append(appendFamily(b, f, false), bit(g.Forwarding.Has(f), 0x80))
		}
	}
	if len(c.LongLived) == 0 {
		return b, nil
	}
	b = append(b, capLongLived, byte(7*len(c.LongLived)))
	for _, l := range c.LongLived {
		seconds := l.Time / time.Second
		if seconds < 0 || seconds > 0xffffff || l.Family == 0 {
			return b, errors.New("encode OPEN: long-lived stale time is not 0 to 2^24-1 s, or of no family")
		}
		b = append(appendFamily(b, l.Family, false), bit(l.Forwarding, 0x80), byte(seconds>>16), byte(seconds>>8), byte(seconds))
	}
	return b, nil
}

// appendFamily appends AFI and SAFI, with the octet between them that some
// capabilities reserve.
func appendFamily(b []byte, f bgp.Family, reserved bool) []byte {
	code := CodeOf(f)
	b = append(b, byte(code.AFI>>8), byte(code.AFI))
	if reserved {
		b = append(b, 0)
	}
	return append(b, code.SAFI)
}

func bit(set bool, value byte) byte {
	if set {
		return value
	}
	return 0
}
