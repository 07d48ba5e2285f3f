package explain

import (
	"fmt"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// ruleText renders a rule in words, with its selectors as they take effect:
// those of namespaces and service accounts are in them.
func ruleText(r *resource.Rule) string {
	words := []string{r.Action.String()}
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if r.IPVersion != 0 {
		add("IPv%d", r.IPVersion)
	}
	if r.Protocol != 0 {
		add("%s", resource.ProtocolName(r.Protocol))
	}
	if r.NotProtocol != 0 {
		add("not %s", resource.ProtocolName(r.NotProtocol))
	}
	if r.ICMP != nil {
		add("%s", icmpText(r.ICMP))
	}
	if r.NotICMP != nil {
		add("not %s", icmpText(r.NotICMP))
	}
	if text := entityText(&r.Source); text != "" {
		add("from %s", text)
	}
	if text := entityText(&r.Destination); text != "" {
		add("to %s", text)
	}
	return strings.Join(words, " ")
}

func icmpText(i *resource.ICMP) string {
	if i.Code == nil {
		return fmt.Sprintf("type %d", i.Type)
	}
	return fmt.Sprintf("type %d code %d", i.Type, *i.Code)
}

func entityText(e *resource.Entity) string {
	var words []string
	add := func(word string, text string) { words = append(words, strings.TrimSpace(word+" "+text)) }
	if e.Selector != nil {
		add("", e.Selector.String())
	}
	if e.NotSelector != nil {
		add("not", "("+e.NotSelector.String()+")")
	}
	if e.Service != nil {
		add("service", e.Service.Namespace+"/"+e.Service.Name)
	}
	for _, list := range []struct{ word, text string }{
		{"nets", join(e.Nets)}, {"not nets", join(e.NotNets)}, {"ports", join(e.Ports)}, {"not ports", join(e.NotPorts)},
	} {
		if list.text != "" {
			add(list.word, list.text)
		}
	}
	return strings.Join(words, " ")
}

// shown is how many values of a list are rendered.
const shown = 5

func join[T fmt.Stringer](list []T) string {
	var texts []string
	for i, v := range list {
		if i == shown {
			texts = append(texts, fmt.Sprintf("+%d", len(list)-shown))
			break
		}
		texts = append(texts, v.String())
	}
	return strings.Join(texts, ",")
}
