package controller

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// candidates reads "a1 a2 b1*": the letter is the topology, a star is busy.
func candidates(text string) []Candidate {
	var all []Candidate
	for _, word := range strings.Fields(text) {
		name, busy := strings.CutSuffix(word, "*")
		all = append(all, Candidate{Node: name, Topology: name[:1], Busy: busy})
	}
	return all
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		name, candidates, present, want string
		count                           int
	}{
		{"none", "", "", "", 2},
		{"fewer than asked for", "a1", "", "a1", 2},
		{"one of each rack", "a1 a2 a3 b1", "", "a? b1", 2},
		{"present ones stay", "a1 a2 b1 b2", "a2 b2", "a2 b2", 2},
		{"one too many goes", "a1 a2 b1 b2", "a2 b1 b2", "a2 b?", 2},
		{"not all in one rack, present or not", "a1 a2 b1", "a1 a2", "a? b1", 2},
		{"a dead one is replaced, and the other stays", "a1 a2 b2", "a1 b1", "a1 b2", 2},
		{"the one more stays where it is", "a1 a2 b1 b2", "a1 a2 b1", "a1 a2 b1", 3},
		{"a small rack gives what it has", "a1 b1 b2 b3 b4", "", "a1 b? b? b?", 4},
		{"not one that reflects for another group", "a1* a2 b1 b2*", "", "a2 b1", 2},
		{"one that does, where there is no other", "a1* b1*", "", "a1 b1", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Choose("g", c.count, candidates(c.candidates), strings.Fields(c.present))
			shown := slices.Clone(got)
			for i, want := range strings.Fields(c.want) {
				if strings.HasSuffix(want, "?") && i < len(got) && got[i][:1] == want[:1] {
					shown[i] = want
				}
			}
			if diff := cmp.Diff(c.want, strings.Join(shown, " ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestChooseRandomly checks what an election must be against all that it might
// have been: as even as can be, never all in one rack without need, and of
// those one that keeps most.
func TestChooseRandomly(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		var all []Candidate
		var present []string
		for i := range random.IntN(9) {
			c := Candidate{Node: fmt.Sprintf("n%d", i), Topology: fmt.Sprint(random.IntN(4)), Busy: random.IntN(3) == 0}
			all = append(all, c)
			if random.IntN(3) == 0 {
				present = append(present, c.Node)
			}
		}
		count := 1 + random.IntN(4)
		got := Choose("g", count, all, present)
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if again := Choose("g", count, all, present); !slices.Equal(got, again) {
			t.Fatalf("%v, and %v in another order", got, again)
		}
		if len(got) != min(count, len(all)) {
			t.Fatalf("%d of %d elected: %v", len(got), count, got)
		}
		score := worth(all, present, got)
		for set := range 1 << len(all) {
			var might []string
			for i, c := range all {
				if set>>i&1 == 1 {
					might = append(might, c.Node)
				}
			}
			if len(might) == len(got) && slices.Compare(worth(all, present, might), score) > 0 {
				t.Fatalf("candidates %v, present %v: %v elected, %v is better", all, present, got, might)
			}
		}
		if next := Choose("g", count, all, got); !slices.Equal(next, got) {
			t.Fatalf("%v elected, and then %v without a reason", got, next)
		}
	}
}

// worth says how good an election is: first the spread, fullest racks first and
// few in them better, then how many stay.
func worth(all []Candidate, present, elected []string) []int {
	racks := map[string]int{}
	stay := 0
	for _, c := range all {
		if slices.Contains(elected, c.Node) {
			racks[c.Topology]++
			if slices.Contains(present, c.Node) {
				stay++
			}
		}
	}
	var counts []int
	for _, n := range racks {
		counts = append(counts, -n)
	}
	slices.Sort(counts)
	for len(counts) < 4 {
		counts = append(counts, 0)
	}
	return append(counts, stay)
}

// TestGroupsChooseDifferently shows that one set of candidates serves many
// groups.
func TestGroupsChooseDifferently(t *testing.T) {
	var all []Candidate
	for i := range 20 {
		all = append(all, Candidate{Node: fmt.Sprintf("n%d", i), Topology: fmt.Sprint(i % 4)})
	}
	used := map[string]int{}
	for g := range 5 {
		for _, n := range Choose(fmt.Sprintf("g%d", g), 2, all, nil) {
			used[n]++
			i := slices.IndexFunc(all, func(c Candidate) bool { return c.Node == n })
			all[i].Busy = true
		}
	}
	if len(used) != 10 {
		t.Errorf("ten reflectors are %d nodes: %v", len(used), used)
	}
}
