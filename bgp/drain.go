package bgp

// Drained is the sessions of a node that is to be left by traffic: with all of
// them up, peers are asked to use other paths (RFC 8326); closed, they are shut
// down and peers are told why (RFC 9003). What is given is not changed.
func Drained(sessions []Session, closed bool, message string) []Session {
	asking := make(map[*Policy]*Policy)
	drained := make([]Session, 0, len(sessions))
	for _, s := range sessions {
		if closed {
			s.Shutdown = true
			if s.ShutdownMessage == "" {
				s.ShutdownMessage = message
			}
		}
		policy := asking[s.Policy]
		if policy == nil { // one for each, so that equal ones stay one
			policy = &Policy{Filters: s.Policied().Filters, Options: s.Policied().Options}
			policy.GracefulShutdown = true
			asking[s.Policy] = policy
		}
		s.Policy = policy
		drained = append(drained, s)
	}
	return drained
}
