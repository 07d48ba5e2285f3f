package iptables

import (
	"slices"
	"strconv"
	"strings"
)

// maxEdit bounds the work to find what two chains have in common: the product
// of their lengths, without what they begin and end with alike.
const maxEdit = 1 << 18

// edit appends the commands that make one chain of another, and leave alone the
// rules that both have: these go on counting. It is not ok when the chain had
// better be written anew.
func (c *chain) edit(b *strings.Builder, was, is []print) (ok bool) {
	kept, ok := shared(was, is)
	if !ok || len(kept) == 0 {
		return false
	}
	position, w, i := 1, 0, 0
	for _, k := range append(kept, [2]int{len(was), len(is)}) {
		for ; w < k[0] && i < k[1]; w, i = w+1, i+1 {
			c.writeRule(b, "-R", position, i)
			position++
		}
		for ; w < k[0]; w++ {
			b.WriteString("-D " + c.name + " " + strconv.Itoa(position) + "\n")
		}
		// A rule is inserted before one that the kernel has, not before one
		// that it only gets by this transaction.
		for ; i < k[1]; i++ {
			if k[0] == len(was) {
				c.writeRule(b, "-A", 0, i)
			} else {
				c.writeRule(b, "-I", position, i)
			}
			position++
		}
		w, i, position = w+1, i+1, position+1
	}
	return true
}

// shared returns the places in two lists of what both have, in order and as
// much as possible.
func shared[T comparable](a, b []T) (out [][2]int, ok bool) {
	first, last := 0, 0
	for first < min(len(a), len(b)) && a[first] == b[first] {
		out = append(out, [2]int{first, first})
		first++
	}
	for last < min(len(a), len(b))-first && a[len(a)-1-last] == b[len(b)-1-last] {
		last++
	}
	x, y := a[first:len(a)-last], b[first:len(b)-last]
	if len(x)*len(y) > maxEdit {
		return nil, false
	}
	for _, at := range longest(x, y) {
		out = append(out, [2]int{first + at[0], first + at[1]})
	}
	for ; last > 0; last-- {
		out = append(out, [2]int{len(a) - last, len(b) - last})
	}
	return out, true
}

// longest finds the longest common subsequence.
func longest[T comparable](x, y []T) (out [][2]int) {
	length := make([][]int, len(x)+1) // of x[i:] and y[j:]
	length[len(x)] = make([]int, len(y)+1)
	for i := range slices.Backward(x) {
		length[i] = make([]int, len(y)+1)
		for j := range slices.Backward(y) {
			if x[i] == y[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	for i, j := 0, 0; i < len(x) && j < len(y); {
		switch {
		case x[i] == y[j]:
			out = append(out, [2]int{i, j})
			i, j = i+1, j+1
		case length[i+1][j] >= length[i][j+1]:
			i++
		default:
			j++
		}
	}
	return out
}
