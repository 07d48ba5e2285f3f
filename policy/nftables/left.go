package nftables

// Left tells whether the kernel has a table of ours, from this process or an
// earlier one.
func (d *Dataplane) Left() (bool, error) {
	h, err := d.sock.readTable()
	if err != nil {
		return false, err
	}
	return h.exists, nil
}
