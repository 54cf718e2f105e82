package main

import (
	"math/rand"
	"sync"
	"time"
)

// link is one direction of a line of fixed rate with a short queue in front of it, shared by all connections
// that use it. It only calculates: time comes in as an argument and goes out as a result.
// Not safe for use by several goroutines.
type link struct {
	bytesPerSecond float64       // 0: no limit
	queue          time.Duration // the queue's length, as the time that the line needs to empty it
	free           time.Time     // when the line has sent all that was admitted
}

// admit asks to send n bytes at `now`. wait > 0: the queue is full; ask again after that time.
// Otherwise the bytes are in the queue and have left the line at `departed`.
func (l *link) admit(now time.Time, n int) (wait time.Duration, departed time.Time) {
	if l.bytesPerSecond == 0 {
		return 0, now
	}
	if l.free.Before(now) {
		l.free = now
	}
	if backlog := l.free.Sub(now); backlog > l.queue {
		return backlog - l.queue, time.Time{}
	}
	l.free = l.free.Add(time.Duration(float64(n) / l.bytesPerSecond * float64(time.Second)))
	return 0, l.free
}

// weather decides what goes wrong on the line: outages, and connections that are cut.
// Safe for use by several goroutines.
type weather struct {
	outageEvery time.Duration // 0: no regular outages
	outageFor   time.Duration
	cutBytes    float64 // mean bytes between two cuts of a connection; 0: none is cut
	start       time.Time

	mutex       sync.Mutex
	random      *rand.Rand
	outageUntil time.Time
}

// outage says for how long nothing will pass, at `now`.
func (w *weather) outage(now time.Time) time.Duration {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	left := w.outageUntil.Sub(now)
	if w.outageEvery > 0 {
		// The end of every period is the outage, so that a program can start.
		intoPeriod := now.Sub(w.start) % w.outageEvery
		if intoPeriod >= w.outageEvery-w.outageFor {
			if regular := w.outageEvery - intoPeriod; regular > left {
				left = regular
			}
		}
	}
	if left < 0 {
		return 0
	}
	return left
}

// beginOutage lets nothing pass from `now` on for that long.
func (w *weather) beginOutage(now time.Time, length time.Duration) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.outageUntil = now.Add(length)
}

// lifetimeBytes draws after how many bytes a new connection is cut; 0: never.
func (w *weather) lifetimeBytes() int64 {
	if w.cutBytes == 0 {
		return 0
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return 1 + int64(w.random.ExpFloat64()*w.cutBytes)
}
