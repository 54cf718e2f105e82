// netproxy is a TCP proxy that gives loopback the shape of a wide-area link: a round trip time, a bandwidth per
// direction that all connections share, outages, and connections that are cut. It prints the address on which it
// listens and the address of its control server, one line each, once both answer.
//
// Control: GET /stats gives the counters as JSON; POST /outage?for=2s stops the link for a while; POST /cut cuts
// every connection.
//
// What it does not have: TCP's slow start and loss of single packets.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Small against the bandwidth-delay product, so that the connections share the line fairly.
const segmentBytes = 16 << 10

// Segments under way on one connection and direction: more than any sensible delay needs.
const segmentsUnderWay = 1024

type segment struct {
	bytes   []byte
	arrives time.Time
}

// line is a link with the goroutines that wait for it.
type line struct {
	mutex sync.Mutex // held while waiting for room: who came first is served first
	link  link
	moved atomic.Int64
}

// send returns when n bytes have left the line, after waiting for room in its queue.
func (l *line) send(n int) time.Time {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for {
		wait, departed := l.link.admit(time.Now(), n)
		if wait <= 0 {
			l.moved.Add(int64(n))
			return departed
		}
		time.Sleep(wait)
	}
}

type proxy struct {
	target   string
	rtt      time.Duration
	up, down line
	weather  weather
	accepted atomic.Int64
	cut      atomic.Int64

	mutex sync.Mutex
	open  map[*connection]struct{}
}

// connection is one client with its connection to the target.
type connection struct {
	client, server *net.TCPConn
	opened         time.Time // when the client's first byte may leave: after the handshake
	lifetimeBytes  int64     // 0: not cut
	received       atomic.Int64
}

// reset ends both sides at once, as a router that forgot the connection does.
func (c *connection) reset() {
	for _, side := range []*net.TCPConn{c.client, c.server} {
		if side != nil {
			side.SetLinger(0)
			side.Close()
		}
	}
}

// pump moves bytes from `source` to `target` over `line` until either ends.
func (p *proxy) pump(c *connection, target, source *net.TCPConn, line *line, count func(int) bool) {
	underWay := make(chan segment, segmentsUnderWay)
	go func() {
		defer close(underWay)
		for {
			buffer := make([]byte, segmentBytes)
			n, err := source.Read(buffer)
			if n > 0 {
				time.Sleep(time.Until(c.opened))
				departed := line.send(n)
				if left := p.weather.outage(time.Now()); left > 0 {
					departed = departed.Add(left)
				}
				underWay <- segment{buffer[:n], departed.Add(p.rtt / 2)}
				if !count(n) {
					p.cut.Add(1)
					c.reset()
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	for next := range underWay {
		time.Sleep(time.Until(next.arrives))
		if _, err := target.Write(next.bytes); err != nil {
			source.Close()
			for range underWay {
			}
			return
		}
	}
	target.CloseWrite()
}

func (p *proxy) serve(client *net.TCPConn) {
	p.accepted.Add(1)
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		client.Close()
		return
	}
	c := &connection{client: client, server: server.(*net.TCPConn), opened: time.Now().Add(p.rtt),
		lifetimeBytes: p.weather.lifetimeBytes()}
	p.mutex.Lock()
	p.open[c] = struct{}{}
	p.mutex.Unlock()

	var both sync.WaitGroup
	both.Add(2)
	go func() {
		defer both.Done()
		p.pump(c, c.server, c.client, &p.up, func(int) bool { return true })
	}()
	go func() {
		defer both.Done()
		p.pump(c, c.client, c.server, &p.down, func(n int) bool {
			received := c.received.Add(int64(n))
			return c.lifetimeBytes == 0 || received < c.lifetimeBytes
		})
	}()
	both.Wait()
	p.mutex.Lock()
	delete(p.open, c)
	p.mutex.Unlock()
	c.client.Close()
	c.server.Close()
}

func (p *proxy) cutAll() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for c := range p.open {
		p.cut.Add(1)
		c.reset()
	}
}

func (p *proxy) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/stats", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]int64{"connections": p.accepted.Load(), "cut": p.cut.Load(),
			"bytes_down": p.down.moved.Load(), "bytes_up": p.up.moved.Load()})
	})
	mux.HandleFunc("/outage", func(w http.ResponseWriter, r *http.Request) {
		length, err := time.ParseDuration(r.URL.Query().Get("for"))
		if r.Method != http.MethodPost || err != nil {
			http.Error(w, "POST /outage?for=DURATION", http.StatusBadRequest)
			return
		}
		p.weather.beginOutage(time.Now(), length)
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.Error(w, "POST /cut", http.StatusBadRequest)
			return
		}
		p.cutAll()
	})
	return mux
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	controlAddress := flag.String("control", "127.0.0.1:0", "address of the control server")
	target := flag.String("target", "", "address to forward to")
	rtt := flag.Duration("rtt", 0, "round trip time to add")
	megabits := flag.Float64("mbit", 0, "bandwidth per direction in Mbit/s; 0: no limit")
	queue := flag.Duration("queue", 20*time.Millisecond, "length of the queue before the line")
	outageEvery := flag.Duration("outage-every", 0, "period of regular outages; 0: none")
	outageFor := flag.Duration("outage-for", time.Second, "length of each, at the period's end")
	cutBytes := flag.Float64("cut-bytes", 0, "mean bytes after which a connection is cut; 0: never")
	seed := flag.Int64("seed", 1, "of the random lifetimes")
	flag.Parse()
	if *target == "" {
		log.Fatal("netproxy: -target is needed")
	}

	line := link{bytesPerSecond: *megabits * 1e6 / 8, queue: *queue}
	p := &proxy{target: *target, rtt: *rtt, open: map[*connection]struct{}{}}
	p.up.link, p.down.link = line, line
	p.weather.outageEvery, p.weather.outageFor = *outageEvery, *outageFor
	p.weather.cutBytes, p.weather.start = *cutBytes, time.Now()
	p.weather.random = rand.New(rand.NewSource(*seed))

	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatalf("netproxy: %v", err)
	}
	controlListener, err := net.Listen("tcp", *controlAddress)
	if err != nil {
		log.Fatalf("netproxy: %v", err)
	}
	go http.Serve(controlListener, p.control())
	fmt.Println(listener.Addr())
	fmt.Println(controlListener.Addr())
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatalf("netproxy: %v", err)
		}
		go p.serve(client.(*net.TCPConn))
	}
}
