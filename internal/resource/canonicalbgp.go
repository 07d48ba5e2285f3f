package resource

import (
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func canonicalizeConfiguration(spec *vrouterv1.BGPConfigurationSpec) {
	canonicalizeAS(spec.AsNumber)
	for _, a := range spec.PrefixAdvertisements {
		canonicalizeCIDR(a.Cidr)
	}
	if spec.SessionDefaults != nil {
		canonicalizeSettings(spec.SessionDefaults)
	}
}

func canonicalizePeer(spec *vrouterv1.BGPPeerSpec) {
	canonicalizeAS(spec.AsNumber)
	canonicalizeCIDR(spec.PeerRange)
	canonicalizeSettings(settingsOf(spec)) // which shares what it points to
}

// canonicalizeSettings changes nothing but what the fields point to.
func canonicalizeSettings(spec *vrouterv1.BGPSessionSettings) {
	canonicalizeAS(spec.LocalAsNumber)
	canonicalizeAddPath(spec.GetAddPath().GetSend())
	if spec.SourceAddress != nil {
		if a, err := parseAddr(*spec.SourceAddress); err == nil {
			*spec.SourceAddress = a.String()
		}
	}
}

// canonicalizeAddPath turns a number in text into a number.
func canonicalizeAddPath(v *structpb.Value) {
	if text := v.GetStringValue(); text == "" || text == sendBest || text == sendAll {
		return
	}
	if n, err := parseAddPath(v); err == nil {
		v.Kind = &structpb.Value_NumberValue{NumberValue: float64(n)}
	}
}

func canonicalizeFilter(spec *vrouterv1.BGPFilterSpec) {
	for _, rules := range [][]*vrouterv1.BGPFilterRule{spec.ImportV4, spec.ImportV6, spec.ExportV4, spec.ExportV6} {
		for _, r := range rules {
			canonicalizePrefix(r.Cidr)
			canonicalizeAll(r.AsPathPrefix)
			for _, o := range r.Operations {
				canonicalizeAll(o.GetPrependAsPath().GetPrefix())
			}
		}
	}
}

// canonicalizeCIDR writes a range; an address alone is none.
func canonicalizeCIDR(text *string) {
	if text != nil && strings.Contains(*text, "/") {
		canonicalizePrefix(text)
	}
}

func canonicalizeAll(numbers []*structpb.Value) {
	for _, v := range numbers {
		canonicalizeAS(v)
	}
}
