package etcd

import (
	"context"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// progressTrusted reports whether all servers are of a version whose progress
// notices tell the truth. Before 3.4.25 and 3.5.8 a notice could overtake
// changes that it claims to cover (etcd issue 15220); resuming after it would
// lose them. On such servers, or where a version cannot be read, only changes
// move a watch's revision.
func (s *Store) progressTrusted(ctx context.Context) bool {
	endpoints := s.cfg.Endpoints
	if len(endpoints) == 0 {
		return true // the server in this process
	}
	for _, e := range endpoints {
		var resp *clientv3.StatusResponse
		err := s.do(ctx, func(ctx context.Context, cli *client) (err error) {
			resp, err = cli.Status(ctx, e)
			return err
		})
		if err != nil || !progressFixed(resp.Version) {
			version := "unknown"
			if err == nil {
				version = resp.Version
			}
			s.cfg.Logger.Debug("progress notices are not used", "endpoint_url", e, "version", version, "error", err)
			return false
		}
	}
	return true
}

func progressFixed(version string) bool {
	version, _, _ = strings.Cut(version, "-")
	part := strings.Split(version, ".")
	if len(part) != 3 {
		return false
	}
	var n [3]int
	for i := range part {
		v, err := strconv.Atoi(part[i])
		if err != nil {
			return false
		}
		n[i] = v
	}
	switch {
	case n[0] != 3:
		return n[0] > 3
	case n[1] == 4:
		return n[2] >= 25
	case n[1] == 5:
		return n[2] >= 8
	}
	return n[1] > 5
}
