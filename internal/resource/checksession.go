package resource

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Bounds of what sessions negotiate.
const (
	minHold          = 3 * time.Second              // RFC 4271 §4.2; and zero
	maxHold          = math.MaxUint16 * time.Second // two octets
	maxKeepalive     = maxHold / 3 / time.Second * time.Second
	maxRestart       = (1<<12 - 1) * time.Second // twelve bits, RFC 4724 §3
	maxLongLived     = (1<<24 - 1) * time.Second // three octets, RFC 9494 §3.1
	maxPrefixRestart = 24 * time.Hour            // who waits longer restarts by hand
	maxHops          = 254                       // a TTL of 1 is left of 255 (RFC 5082 §3)
	maxOwnAS         = 255                       // of one segment of an AS_PATH
	maxAddPath       = 255                       // more is all
)

// settings checks what sessions inherit. All paths begin with at.
func (p *problems) settings(at string, raw *vrouterv1.BGPSessionSettings) SessionSettings {
	if raw == nil {
		return SessionSettings{}
	}
	s := SessionSettings{
		Filters:         p.filterNames(join(at, "filters"), raw.Filters),
		Password:        p.password(join(at, "password"), raw.Password),
		SourceAddress:   p.sourceAddress(join(at, "sourceAddress"), raw.GetSourceAddress()),
		AllowedLocalAS:  p.count(join(at, "numAllowedLocalASNumbers"), raw.NumAllowedLocalAsNumbers, maxOwnAS),
		NextHopMode:     p.nextHopMode(join(at, "nextHopMode"), raw.GetNextHopMode()),
		ConnectRetry:    p.duration(join(at, "connectRetryTime"), raw.GetConnectRetryTime(), time.Second, maxHold),
		RestartTime:     p.duration(join(at, "maxRestartTime"), raw.GetMaxRestartTime(), time.Second, maxRestart),
		LongLived:       p.duration(join(at, "longLivedRestartTime"), raw.GetLongLivedRestartTime(), 0, maxLongLived),
		MaxPrefixes:     p.maxPrefixes(join(at, "maxPrefixes"), raw.MaxPrefixes),
		Families:        p.families(join(at, "families"), raw.Families),
		ExtendedNextHop: copied(raw.ExtendedNextHop),
		Role:            p.role(join(at, "role"), raw.GetRole()),
		StrictRole:      copied(raw.StrictRole),
		AnyFirstAS:      copied(raw.AcceptAnyFirstAs),
		Blackhole:       copied(raw.HonourBlackhole),
		ReflectForeign:  copied(raw.ReflectForeign),
	}
	if raw.LocalAsNumber != nil {
		as, err := parseAS(raw.LocalAsNumber)
		p.err(join(at, "localASNumber"), err)
		s.LocalASNumber = &as
	}
	p.hops(at, raw, &s)
	p.holdTime(at, raw, &s)
	p.addPath(join(at, "addPath"), raw.AddPath, &s)
	if raw.GetStrictRole() && raw.GetRole() == noRole {
		p.addf(join(at, "strictRole"), "goes with a role only")
	}
	return s
}

// copied returns a copy, because the raw object may change.
func copied[T any](v *T) *T {
	if v == nil {
		return nil
	}
	return new(*v)
}

// duration reads a duration, if there is one.
func (p *problems) duration(path, text string, least, most time.Duration) *time.Duration {
	if text == "" {
		return nil
	}
	d, err := parseDuration(text, least, most)
	p.err(path, err)
	return &d
}

func (p *problems) count(path string, n *int32, most int) *int {
	if n == nil {
		return nil
	}
	if *n < 0 || int(*n) > most {
		p.addf(path, "%d is not between 0 and %d", *n, most)
	}
	return new(int(*n))
}

func (p *problems) filterNames(path string, list *structpb.ListValue) *[]string {
	if list == nil {
		return nil
	}
	names := make([]string, 0, len(list.GetValues()))
	for i, v := range list.GetValues() {
		name := v.GetStringValue() // checked to be no name where it is no text
		p.err(index(path, i), checkSubdomain(name))
		names = append(names, name)
	}
	return &names
}

func (p *problems) password(path string, raw *vrouterv1.BGPPassword) *SecretRef {
	if raw == nil {
		return nil
	}
	ref := raw.GetSecretKeyRef()
	if raw.GetFile() != "" {
		if ref != nil {
			p.addf(join(path, "file"), "must be empty when %s.secretKeyRef is given", path)
		}
		p.err(join(path, "file"), CheckSecretFile(raw.GetFile()))
		return &SecretRef{File: raw.GetFile()}
	}
	if ref == nil {
		p.addf(path, "a secretKeyRef or a file is needed")
		return nil
	}
	path = join(path, "secretKeyRef")
	p.err(join(path, "name"), checkSubdomain(ref.GetName()))
	p.err(join(path, "key"), checkSecretKey(ref.GetKey()))
	return &SecretRef{Name: ref.GetName(), Key: ref.GetKey(), Optional: ref.GetOptional()}
}

// CheckSecretFile refuses what is no plain name of a file in one directory.
func CheckSecretFile(s string) error {
	const most = 255 // NAME_MAX
	switch {
	case len(s) > most:
		return fmt.Errorf("%d bytes long, at most %d are allowed", len(s), most)
	case s == "" || s == "." || s == ".." || strings.Contains(s, "/"):
		return fmt.Errorf("%q is not the name of a file in the directory of secrets", s)
	case strings.ContainsFunc(s, func(r rune) bool { return !printable(r) }):
		return fmt.Errorf("%q holds a blank or what cannot be printed", s)
	}
	return nil
}

func (p *problems) sourceAddress(path, text string) *SourceAddress {
	switch text {
	case "":
		return nil
	case "UseNodeIP":
		return &SourceAddress{}
	case "None":
		return &SourceAddress{None: true}
	}
	addr, err := parseAddr(text)
	if err != nil {
		p.addf(path, "%q is none of UseNodeIP, None and no IP address", text)
		return &SourceAddress{Addr: netip.Addr{}}
	}
	p.err(path, checkUnicast(addr))
	return &SourceAddress{Addr: addr}
}

func (p *problems) nextHopMode(path, text string) *NextHopMode {
	switch mode := NextHopMode(text); mode {
	case "":
		return nil
	case NextHopAuto, NextHopSelf, NextHopKeep:
		return &mode
	}
	p.addf(path, "%q is none of %s, %s, %s", text, NextHopAuto, NextHopSelf, NextHopKeep)
	return nil
}

// hops checks how far away the peer may be.
func (p *problems) hops(at string, raw *vrouterv1.BGPSessionSettings, s *SessionSettings) {
	if raw.TtlSecurity != nil {
		if *raw.TtlSecurity > maxHops {
			p.addf(join(at, "ttlSecurity"), "%d is not between 0 and %d", *raw.TtlSecurity, maxHops)
		}
		s.TTLSecurity = new(uint8(*raw.TtlSecurity))
	}
	if raw.Multihop != nil {
		if *raw.Multihop < 1 || *raw.Multihop > math.MaxUint8 {
			p.addf(join(at, "multihop"), "%d is not between 1 and %d", *raw.Multihop, math.MaxUint8)
		}
		if raw.GetTtlSecurity() > 0 {
			p.addf(join(at, "multihop"), "must be empty when %s is given", join(at, "ttlSecurity"))
		}
		s.Multihop = new(uint8(*raw.Multihop))
	}
}

// holdTime checks the hold time, and the keepalives that keep within it.
func (p *problems) holdTime(at string, raw *vrouterv1.BGPSessionSettings, s *SessionSettings) {
	s.HoldTime = p.duration(join(at, "holdTime"), raw.GetHoldTime(), 0, maxHold)
	s.KeepaliveTime = p.duration(join(at, "keepaliveTime"), raw.GetKeepaliveTime(), time.Second, maxKeepalive)
	if s.HoldTime == nil || p.has(join(at, "holdTime")) {
		return
	}
	hold := *s.HoldTime
	if hold > 0 && hold < minHold {
		p.addf(join(at, "holdTime"), "%s is neither 0s nor at least %s (RFC 4271 §4.2)", hold, minHold)
		return
	}
	if s.KeepaliveTime == nil || p.has(join(at, "keepaliveTime")) {
		return
	}
	switch keepalive := *s.KeepaliveTime; {
	case hold == 0:
		p.addf(join(at, "keepaliveTime"), "there are no keepalives with a hold time of 0s")
	case keepalive > hold/3:
		p.addf(join(at, "keepaliveTime"), "%s is more than a third of the hold time of %s", keepalive, hold)
	}
}

func (p *problems) addPath(path string, raw *vrouterv1.BGPAddPath, s *SessionSettings) {
	if raw == nil {
		return
	}
	s.AddPathReceive = copied(raw.Receive)
	if raw.Send == nil {
		return
	}
	n, err := parseAddPath(raw.Send)
	p.err(join(path, "send"), err)
	s.AddPathSend = &n
}

// What addPath.send may be beside a number.
const (
	sendBest = "Best"
	sendAll  = "All"
)

// parseAddPath reads how many paths of a prefix are sent; -1: all.
func parseAddPath(v *structpb.Value) (int, error) {
	switch v.GetStringValue() {
	case sendBest:
		return 1, nil
	case sendAll:
		return -1, nil
	}
	var n uint64
	var err error
	switch k := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		n, err = wholeNumber(k.NumberValue, maxAddPath)
	default:
		n, err = parseDecimal(v.GetStringValue(), maxAddPath)
	}
	if err != nil || n == 0 {
		return 0, fmt.Errorf(`%s is neither %q, nor %q, nor a number from 1 to %d`, cell(v), sendBest, sendAll, maxAddPath)
	}
	return int(n), nil
}

// cell renders a number or text for an error.
func cell(v *structpb.Value) string {
	if _, ok := v.GetKind().(*structpb.Value_NumberValue); ok {
		return numberCell(v, "")
	}
	return fmt.Sprintf("%q", v.GetStringValue())
}

func (p *problems) maxPrefixes(path string, raw *vrouterv1.BGPMaxPrefixes) *MaxPrefixes {
	if raw == nil {
		return nil
	}
	m := &MaxPrefixes{Warning: int(raw.GetWarningPercent()), WarnOnly: raw.GetWarnOnly()}
	switch {
	case raw.Limit == nil:
		p.addf(join(path, "limit"), "is needed")
	case *raw.Limit > math.MaxInt32:
		p.addf(join(path, "limit"), "%d is not between 0 and %d", *raw.Limit, math.MaxInt32)
	case *raw.Limit == 0 && (raw.WarningPercent != nil || raw.GetRestartTime() != "" || m.WarnOnly):
		p.addf(join(path, "limit"), "0 is no limit, and goes without the other fields")
	}
	m.Limit = int(raw.GetLimit())
	if raw.WarningPercent != nil && (m.Warning < 1 || m.Warning > 100) {
		p.addf(join(path, "warningPercent"), "%d is not between 1 and 100", *raw.WarningPercent)
	}
	if restart := p.duration(join(path, "restartTime"), raw.GetRestartTime(), time.Second, maxPrefixRestart); restart != nil {
		m.RestartTime = *restart
	}
	if m.WarnOnly && raw.GetRestartTime() != "" {
		p.addf(join(path, "restartTime"), "must be empty when %s.warnOnly is given: nothing is closed", path)
	}
	return m
}

func (p *problems) families(path string, names []string) *[]string {
	if len(names) == 0 {
		return nil
	}
	for i, name := range names {
		switch {
		case name != "IPv4" && name != "IPv6":
			p.addf(index(path, i), "%q is none of IPv4, IPv6", name)
		case slices.Contains(names[:i], name):
			p.addf(index(path, i), "%q is listed twice", name)
		}
	}
	return new(slices.Clone(names))
}

// noRole takes back the role of a group.
const noRole = "None"

func (p *problems) role(path, text string) *string {
	switch text {
	case "":
		return nil
	case noRole:
		return new("")
	case "Provider", "RouteServer", "RouteServerClient", "Customer", "Peer":
		return &text
	}
	p.addf(path, "%q is none of Provider, RouteServer, RouteServerClient, Customer, Peer, %s", text, noRole)
	return nil
}
