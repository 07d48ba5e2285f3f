package hostnet

// CountRoutes returns how many routes of all tables have each of these protocol
// numbers.
func (h *Host) CountRoutes(protocols ...uint8) (map[uint8]int, error) {
	counts, _, err := h.surveyRoutes(protocols)
	return counts, err
}
