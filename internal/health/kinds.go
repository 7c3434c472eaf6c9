package health

import "time"

// The codes.
const (
	BlindWhole   = "blind"
	Offline      = "offline"
	Unseen       = "unseen"
	OperatorDark = "operator-blind"
	LogDark      = "log-blind"
	LogUncovered = "log-uncovered"
	LogOutgrown  = "log-outgrown"
	LogLagging   = "log-lagging"
	LogClock     = "log-clock"
	LogCondition = "log-" // and the name of a condition of a log
	ListStale    = "list-stale"
	StoreFailing = "store-failing"
	StoreDamaged = "store-damaged"
	StoreRisk    = "store-at-risk"
	ConfigWaits  = "config-pending"
	DiskLow      = "disk-low"
	MemoryHigh   = "memory-high"
	FilesHigh    = "files-high"
	ReceiverDown = "receiver-down"
	ClockSet     = "clock-set"
	ClockBehind  = "clock-behind"
	ClockAhead   = "clock-ahead"
	Slept        = "slept"
	Stuck        = "stuck"
	BeatFailing  = "heartbeat-failing"
)

// kinds is the table, the most urgent first. docs/coverage.md has the same one for people.
var kinds = []Kind{
	// Depends on nothing, and nothing depends on it: own blindness can be held back by nothing and holds back nothing.
	{Code: BlindWhole, Title: "tocsin cannot see", Template: "tocsin is blind: {why}", Level: Alarm,
		TimeToResolve: 5 * time.Minute},
	{Code: Unseen, Title: "an issuance of ours is not seen", Template: "I may be blind in {subject}: {count} of ours that it promised was not seen in CT in time, first {why}", Level: Alarm,
		TimeToResolve: 5 * time.Minute},
	{Code: Stuck, Title: "a station is stuck", Template: "{subject} has shown no sign of life for {for}", Level: Digest,
		TimeToResolve: time.Minute},
	{Code: StoreDamaged, Title: "the state file is damaged", Template: "the state file is damaged: {why}", Level: Digest,
		TimeToResolve: 10 * time.Minute},
	{Code: StoreRisk, Title: "the state file is at risk", Template: "the state file is at risk: {why}", Level: Digest,
		TimeToResolve: time.Minute},
	{Code: StoreFailing, Title: "the state file cannot be written", Template: "the state file cannot be written: {why}", Level: Digest,
		TimeToVisible: time.Minute, TimeToResolve: time.Minute},
	{Code: DiskLow, Title: "the disk is nearly full", Template: "the disk of the state file has {free} left of {size}", Level: Digest,
		TimeToVisible: time.Minute, TimeToResolve: 10 * time.Minute},
	{Code: ConfigWaits, Title: "the configuration is not in force", Template: "the configuration is not in force: {why}", Level: Digest,
		TimeToVisible: time.Minute, TimeToResolve: time.Minute},
	{Code: MemoryHigh, Title: "memory is running out", Template: "{used} of memory are in use, and {limit} are allowed", Level: Digest,
		TimeToVisible: 5 * time.Minute, TimeToResolve: 10 * time.Minute},
	{Code: FilesHigh, Title: "file descriptors are running out", Template: "{used} of {limit} file descriptors are in use", Level: Digest,
		TimeToVisible: time.Minute, TimeToResolve: 10 * time.Minute},
	{Code: ClockSet, Title: "the clock was set", Template: "the clock of this machine was set {why}", Level: Digest, Momentary: true,
		TimeToResolve: 25 * time.Hour},
	{Code: ClockBehind, Title: "the clock is behind", Template: "the clock of this machine is behind: {why}", Level: Digest,
		TimeToVisible: 5 * time.Minute, TimeToResolve: 10 * time.Minute},
	{Code: Slept, Title: "tocsin did not run", Template: "tocsin did not run {why}; what was logged meanwhile is read now", Level: Daily,
		TimeToResolve: 25 * time.Hour},
	{Code: Offline, Title: "no log answers", Template: "none of {count} logs answers: {why}", Level: Digest,
		TimeToVisible: 10 * time.Minute, TimeToResolve: 2 * time.Minute},
	{Code: ClockAhead, Title: "the clock is ahead", Template: "the clock of this machine is ahead, or every log has stood still: {why}", Level: Digest,
		DependsOn: []string{Offline}, TimeToVisible: 10 * time.Minute, TimeToResolve: 10 * time.Minute},
	{Code: ListStale, Title: "a log list cannot be had", Template: "the log list {subject} cannot be used: {why}; the last good one stays in force", Level: Daily,
		DependsOn: []string{Offline}, TimeToVisible: time.Hour, TimeToResolve: time.Minute},
	{Code: ReceiverDown, Title: "a receiver does not take messages", Template: "the receiver {subject} does not take messages: {count} wait, the oldest since {since}", Level: Digest,
		TimeToVisible: 15 * time.Minute, TimeToResolve: time.Minute},
	{Code: BeatFailing, Title: "the heartbeat is not taken", Template: "the heartbeat is not taken, and a dead-man's switch will ring: {why}", Level: Digest,
		DependsOn: []string{Offline}, TimeToVisible: time.Minute, TimeToResolve: time.Minute},
	{Code: OperatorDark, Title: "nothing is seen of an operator", Template: "no log of {subject} shows anything new: {why}", Level: Digest,
		DependsOn: []string{Offline, StoreFailing}, TimeToResolve: 10 * time.Minute},
	{Code: LogDark, Title: "nothing is seen of a log", Template: "{subject}: {why}", Level: Digest,
		DependsOn: []string{Offline, StoreFailing, OperatorDark}, TimeToResolve: 10 * time.Minute},
	{Code: LogUncovered, Title: "a log does not give a range", Template: "{subject}: {why}", Level: Daily,
		DependsOn: []string{OperatorDark}, TimeToVisible: time.Minute, TimeToResolve: 10 * time.Minute},
	{Code: LogOutgrown, Title: "a log grows faster than it may be read", Template: "{subject}: {why}", Level: Daily,
		DependsOn: []string{OperatorDark}, TimeToResolve: time.Hour},
	{Code: LogLagging, Title: "a log is behind", Template: "{subject}: {why}", Level: Daily,
		DependsOn: []string{Offline, OperatorDark}, TimeToVisible: time.Hour, TimeToResolve: 10 * time.Minute},
	{Code: LogCondition + "unreachable", Title: "a log does not answer", Template: "{subject}: {why}", Level: Daily,
		DependsOn: []string{Offline, OperatorDark}, TimeToResolve: 10 * time.Minute},
	{Code: LogCondition + "stale", Title: "a log signs no new head", Template: "{subject}: {why}", Level: Daily,
		DependsOn: []string{ClockAhead, OperatorDark}, TimeToResolve: 10 * time.Minute},
	{Code: LogCondition + "skew", Title: "front ends of a log lag", Template: "{subject}: {why}", Level: Daily,
		DependsOn: []string{OperatorDark}, TimeToResolve: 10 * time.Minute},
	{Code: LogCondition + "rate-limited", Title: "a log refuses requests as too many", Template: "{subject}: {why}", Level: Daily,
		DependsOn: []string{OperatorDark}, TimeToResolve: 10 * time.Minute},
	{Code: LogClock, Title: "a log dates its heads falsely", Template: "{subject}: {why}", Level: Daily,
		DependsOn: []string{ClockBehind}, TimeToVisible: 10 * time.Minute, TimeToResolve: time.Hour},
}

// Kinds returns the table of all kinds, the most urgent first.
func Kinds() []Kind { return append([]Kind(nil), kinds...) }

func find(code string) (Kind, bool) {
	for _, k := range kinds {
		if k.Code == code {
			return k, true
		}
	}
	return Kind{}, false
}

func rank(code string) int {
	for i, k := range kinds {
		if k.Code == code {
			return i
		}
	}
	return len(kinds)
}
