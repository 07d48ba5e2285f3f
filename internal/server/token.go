package server

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// position is where a page begins. Callers see it as opaque text: they may
// keep it, not make it.
type position struct {
	Revision int64  `json:"r"` // all pages of a list are of this revision
	Start    string `json:"s"` // key
	Query    string `json:"q"` // that the token was given for
}

// tokenAt renders a position.
func (q *query) tokenAt(p position) string {
	p.Query = q.identity()
	data, _ := json.Marshal(p) // numbers and text always encode
	return base64.RawURLEncoding.EncodeToString(data)
}

// position reads the token of the query; without one it is the beginning.
func (q *query) position() (position, error) {
	if q.token == "" {
		return position{}, nil
	}
	var p position
	data, err := base64.RawURLEncoding.DecodeString(q.token)
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil || p.Revision <= 0 || !strings.HasPrefix(p.Start, q.prefix()) {
		return position{}, invalid("pageToken", "is not a token of this list")
	}
	if p.Query != q.identity() {
		return position{}, invalid("pageToken", "was given for another query")
	}
	return p, nil
}

func (q *query) identity() string {
	return string(q.kind) + "\n" + q.namespace + "\n" + q.filter
}
