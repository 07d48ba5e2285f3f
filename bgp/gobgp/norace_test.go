//go:build !race

package gobgp

// raceDetector: the tests run under it.
const raceDetector = false
