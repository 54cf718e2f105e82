package main

import (
	"math/rand"
	"testing"
	"time"
)

var start = time.Unix(1000, 0)

func TestAdmitSpacesBytesByTheRate(t *testing.T) {
	l := link{bytesPerSecond: 1000, queue: time.Second}
	for i, want := range []time.Duration{100, 200, 300} {
		wait, departed := l.admit(start, 100)
		if wait != 0 || departed != start.Add(want*time.Millisecond) {
			t.Errorf("segment %d: wait %v, departed after %v", i, wait, departed.Sub(start))
		}
	}
	// An idle line saves nothing up.
	later := start.Add(time.Minute)
	if _, departed := l.admit(later, 100); departed != later.Add(100*time.Millisecond) {
		t.Errorf("after a pause: departed after %v", departed.Sub(later))
	}
}

func TestAdmitAsksToWaitWhenTheQueueIsFull(t *testing.T) {
	l := link{bytesPerSecond: 1000, queue: 200 * time.Millisecond}
	for i := 0; i < 3; i++ { // the third still finds exactly the queue's length before it
		if wait, _ := l.admit(start, 100); wait != 0 {
			t.Fatalf("segment %d waits %v", i, wait)
		}
	}
	wait, _ := l.admit(start, 100)
	if wait != 100*time.Millisecond {
		t.Fatalf("a full queue asks to wait %v", wait)
	}
	if wait, departed := l.admit(start.Add(wait), 100); wait != 0 || departed != start.Add(400*time.Millisecond) {
		t.Errorf("then: wait %v, departed after %v", wait, departed.Sub(start))
	}
}

func TestAdmitWithoutARateDelaysNothing(t *testing.T) {
	l := link{}
	for i := 0; i < 3; i++ {
		if wait, departed := l.admit(start, 1<<20); wait != 0 || departed != start {
			t.Errorf("wait %v, departed after %v", wait, departed.Sub(start))
		}
	}
}

func TestOutageAtTheEndOfEveryPeriod(t *testing.T) {
	w := weather{outageEvery: 10 * time.Second, outageFor: 2 * time.Second, start: start}
	for _, c := range []struct{ at, want time.Duration }{
		{0, 0}, {7999 * time.Millisecond, 0}, {8 * time.Second, 2 * time.Second}, {9500 * time.Millisecond, 500 * time.Millisecond},
		{10 * time.Second, 0}, {18 * time.Second, 2 * time.Second},
	} {
		if got := w.outage(start.Add(c.at)); got != c.want {
			t.Errorf("at %v: %v left, want %v", c.at, got, c.want)
		}
	}
}

func TestOutageOnDemand(t *testing.T) {
	w := weather{start: start}
	w.beginOutage(start, 3*time.Second)
	if got := w.outage(start.Add(time.Second)); got != 2*time.Second {
		t.Errorf("%v left", got)
	}
	if got := w.outage(start.Add(4 * time.Second)); got != 0 {
		t.Errorf("%v left after its end", got)
	}
}

func TestLifetimesAreRandomWithTheGivenMean(t *testing.T) {
	w := weather{cutBytes: 1e6, random: rand.New(rand.NewSource(1))}
	sum := 0.0
	for i := 0; i < 10000; i++ {
		bytes := w.lifetimeBytes()
		if bytes <= 0 {
			t.Fatalf("a connection of %d bytes", bytes)
		}
		sum += float64(bytes)
	}
	if mean := sum / 10000; mean < 0.95e6 || mean > 1.05e6 {
		t.Errorf("mean lifetime %v bytes", mean)
	}
	if never := (&weather{}).lifetimeBytes(); never != 0 {
		t.Errorf("without cuts: %d", never)
	}
}
