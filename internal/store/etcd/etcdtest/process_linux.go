package etcdtest

import "syscall"

// dieWithParent ends the program with the test, however that ends.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
