package reflectorbench

import (
	"os"
	"testing"
)

func TestProcessUsage(t *testing.T) {
	before, err := processUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if before.CPU <= 0 || before.RSS <= 0 || before.Peak < before.RSS {
		t.Errorf("usage %+v", before)
	}
	// One clock under two names.
	own := ownCPU()
	after, err := processUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if own < before.CPU || after.CPU < own {
		t.Errorf("%v, then by its own clock %v, then %v", before.CPU, own, after.CPU)
	}
}

func TestUsageOfNoProcess(t *testing.T) {
	if u, err := processUsage(1 << 22); err == nil { // above the greatest pid
		t.Errorf("usage %+v of a process that is none", u)
	}
}
