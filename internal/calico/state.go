package calico

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// rawState is the part of address management in an export of calicoctl: what
// Calico has in etcd, by key.
type rawState struct {
	Affinities []json.RawMessage `json:"block_affinities"`
	Blocks     []json.RawMessage `json:"blocks"`
	Handles    []json.RawMessage `json:"handles"`
	Config     json.RawMessage   `json:"config"`
}

// rawPair is a key of etcd with its value.
type rawPair[V any] struct {
	Key   string
	Value *V
	TTL   int64
}

// keyRoot is what all keys of Calico's address management begin with.
const keyRoot = "/calico/ipam/v2/"

// rawAffinity is that of Kubernetes; in etcd most of it is in the key.
type rawAffinity struct {
	State   string    `json:"state"`
	Node    string    `json:"node"`
	Type    string    `json:"type"`
	CIDR    string    `json:"cidr"`
	Deleted looseBool `json:"deleted"`
}

type rawHandle struct {
	ID      string         `json:"handleID"`
	Block   map[string]int `json:"block"`
	Deleted looseBool      `json:"deleted"`
}

// rawConfig has the names of etcd and those of Kubernetes.
type rawConfig struct {
	Strict     bool `json:"strict_affinity"`
	Auto       bool `json:"auto_allocate_blocks"`
	StrictKube bool `json:"strictAffinity"`
	AutoKube   bool `json:"autoAllocateBlocks"`
	MaxBlocks  int  `json:"maxBlocksPerHost"`
	// That virtual machines keep their addresses, which none of ours does.
	Persistence string `json:"kubeVirtVMAddressPersistence"`
}

// looseBool is a boolean that some versions of Calico store as a text.
type looseBool bool

// UnmarshalJSON reads true, "true", false, "false" and "".
func (b *looseBool) UnmarshalJSON(text []byte) error {
	switch strings.Trim(string(text), `"`) {
	case "true":
		*b = true
	case "false", "", "null":
		*b = false
	default:
		return fmt.Errorf("%s is neither true nor false", text)
	}
	return nil
}

// state takes the part of address management.
func (c *conversion) state(source string, data []byte) {
	text, err := resource.ReadForeignJSON(source, data)
	if err != nil {
		c.refuse(source, err)
		return
	}
	var s rawState
	if err := strict(text, &s); err != nil {
		c.problems.Add(source, err)
		return
	}
	pairs(c, source+": blocks", s.Blocks, func(at, key string, b *rawBlock) {
		cidr, err := below(key, "assignment/", "")
		if err != nil {
			c.problems.Add(at+".Key", err)
			return
		}
		c.block(at+".Value", b, cidr)
	})
	pairs(c, source+": block_affinities", s.Affinities, func(at, key string, a *rawAffinity) {
		if err := a.ofKey(key); err != nil {
			c.problems.Add(at+".Key", err)
			return
		}
		c.affinity(at+".Value", a)
	})
	pairs(c, source+": handles", s.Handles, func(at, key string, h *rawHandle) {
		id, ok := strings.CutPrefix(key, keyRoot+"handle/")
		if !ok {
			c.problems.Add(at+".Key", fmt.Errorf("%q is none of a handle", key))
			return
		}
		h.ID = id
		c.handle(at+".Value", h)
	})
	if s.Config != nil && string(s.Config) != "null" {
		pair(c, source+": config", s.Config, func(at, _ string, s *rawConfig) { c.config(at+".Value", s) })
	}
}

// pairs reads keys with their values.
func pairs[V any](c *conversion, source string, list []json.RawMessage, each func(at, key string, v *V)) {
	for i, text := range list {
		pair(c, fmt.Sprintf("%s[%d]", source, i), text, each)
	}
}

// pair reads a key with its value.
func pair[V any](c *conversion, at string, text json.RawMessage, then func(at, key string, v *V)) {
	var p rawPair[V]
	switch err := strict(text, &p); {
	case err != nil:
		c.problems.Add(at, err)
	case p.Value == nil:
		c.problems.Add(at+".Value", errNeeded)
	default:
		then(at, p.Key, p.Value)
	}
}

// below takes apart a key that ends in ipvN/block/CIDR, where CIDR has a dash
// for its slash.
func below(key, first, owner string) (string, error) {
	rest, ok := strings.CutPrefix(key, keyRoot+first+owner)
	for _, family := range []string{"ipv4/block/", "ipv6/block/"} {
		if text, is := strings.CutPrefix(rest, family); ok && is {
			if i := strings.LastIndexByte(text, '-'); i > 0 {
				text = text[:i] + "/" + text[i+1:]
			}
			return text, nil
		}
	}
	return "", fmt.Errorf("%q is none of a block", key)
}

// ofKey sets what of an affinity is in its key: TYPE/NODE/ipvN/block/CIDR.
func (a *rawAffinity) ofKey(key string) error {
	rest, _ := strings.CutPrefix(key, keyRoot)
	kind, rest, _ := strings.Cut(rest, "/")
	node, _, ok := strings.Cut(rest, "/")
	if !ok || kind != "host" && kind != "virtual" {
		return fmt.Errorf("%q is none of an affinity", key)
	}
	cidr, err := below(key, kind+"/", node+"/")
	a.Type, a.Node, a.CIDR = kind, node, cidr
	return err
}

// affinityID is what an affinity is of.
type affinityID struct {
	node string // or "virtual:NAME"
	cidr netip.Prefix
}

type affinity struct{ source, state string }

// affinity takes an affinity. What is being deleted is as if it were not there.
func (c *conversion) affinity(source string, raw *rawAffinity) {
	cidr, err := parsePrefix(raw.CIDR)
	if err != nil {
		c.problems.Add(source+".cidr", err)
		return
	}
	id := affinityID{raw.Node, cidr}
	switch {
	case raw.Node == "":
		c.problems.Add(source+".node", errNeeded)
		return
	case raw.Type == "virtual":
		id.node = "virtual:" + raw.Node
	case raw.Type != "" && raw.Type != "host":
		c.problems.Add(source+".type", fmt.Errorf("%q is neither host nor virtual", raw.Type))
		return
	}
	switch raw.State {
	case "confirmed", "pending", "pendingDeletion":
	case "": // as the first versions stored it
		raw.State = "confirmed"
	default:
		c.problems.Add(source+".state", fmt.Errorf("%q is none of confirmed, pending, pendingDeletion", raw.State))
		return
	}
	if !raw.Deleted {
		c.affinities[id] = affinity{source, raw.State}
	}
}

// handle is what Calico counted.
type handle struct {
	source string
	blocks map[netip.Prefix]int
}

func (c *conversion) handle(source string, raw *rawHandle) {
	h := handle{source, make(map[netip.Prefix]int, len(raw.Block))}
	for _, text := range slices.Sorted(maps.Keys(raw.Block)) { // so that the first problem is always the same
		cidr, err := parsePrefix(text)
		if err != nil {
			c.problems.Add(source+".block", err)
			return
		}
		h.blocks[cidr] = raw.Block[text]
	}
	switch _, twice := c.handles[raw.ID]; {
	case raw.ID == "":
		c.problems.Add(source+".handleID", errNeeded)
	case twice:
		c.problems.Add(source, fmt.Errorf("handle %q is in %s, too", raw.ID, c.handles[raw.ID].source))
	case !bool(raw.Deleted):
		c.handles[raw.ID] = h
	}
}

// config makes the IPAMConfiguration.
func (c *conversion) config(source string, raw *rawConfig) {
	if raw.MaxBlocks < 0 || raw.MaxBlocks > 1<<30 {
		c.problems.Add(source+".maxBlocksPerHost", fmt.Errorf("%d is no number of blocks", raw.MaxBlocks))
		return
	}
	if raw.Persistence != "" && raw.Persistence != "Disabled" {
		c.problems.Add(source+".kubeVirtVMAddressPersistence", unsupported("addresses that virtual machines keep are not supported yet: Disabled is"))
		return
	}
	msg := &vrouterv1.IPAMConfiguration{
		Metadata: &vrouterv1.Metadata{Name: proto.String(resource.DefaultName)},
		Spec: &vrouterv1.IPAMConfigurationSpec{
			StrictAffinity:     proto.Bool(raw.Strict || raw.StrictKube),
			AutoAllocateBlocks: proto.Bool(raw.Auto || raw.AutoKube),
		},
	}
	if raw.MaxBlocks > 0 {
		msg.Spec.MaxBlocksPerHost = proto.Int32(int32(raw.MaxBlocks))
	}
	c.add(source, msg)
}

// parsePrefix reads the CIDR of a block.
func parsePrefix(text string) (netip.Prefix, error) {
	cidr, err := netip.ParsePrefix(text)
	if err == nil && (cidr != cidr.Masked() || cidr.Addr().Is4In6()) {
		err = fmt.Errorf("%q is not the prefix of a block", text)
	}
	return cidr, err
}
