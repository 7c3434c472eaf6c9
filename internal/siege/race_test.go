//go:build race

package siege

// raceDetector says that the race detector is at work: the state file costs ten times as much under it.
const raceDetector = true
