package fibtest

import "testing"

func newFake(*testing.T) Host { return New() }

func TestKernelContract(t *testing.T) { TestKernel(t, newFake) }

func TestTableWithObjects(t *testing.T) { TestTable(t, newFake, false, 150) }

func TestTablePlain(t *testing.T) { TestTable(t, newFake, true, 150) }

func TestTableWithoutObjects(t *testing.T) {
	TestTable(t, func(*testing.T) Host {
		k := New()
		k.NoObjects = true
		return k
	}, true, 50)
}
