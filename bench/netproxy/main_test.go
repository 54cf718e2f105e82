package main

import (
	"bytes"
	"io"
	"math/rand"
	"net"
	"testing"
	"time"
)

// echoServer answers all bytes that it is sent, then closes. Gives its address.
func echoServer(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(connection, connection)
				connection.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

// through connects to the target through p.
func through(t *testing.T, p *proxy) *net.TCPConn {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go p.serve(accepted.(*net.TCPConn))
	return client.(*net.TCPConn)
}

func TestEveryByteArrivesAndIsCounted(t *testing.T) {
	p := &proxy{target: echoServer(t), open: map[*connection]struct{}{}}
	p.rtt = time.Millisecond
	client := through(t, p)
	sent := make([]byte, 3*segmentBytes+17)
	rand.New(rand.NewSource(1)).Read(sent)
	go func() {
		client.Write(sent)
		client.CloseWrite()
	}()
	received, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(sent, received) {
		t.Fatalf("%d bytes came back, error %v", len(received), err)
	}
	if up, down := p.up.moved.Load(), p.down.moved.Load(); up != int64(len(sent)) || down != up {
		t.Errorf("counted %d up, %d down", up, down)
	}
	if p.accepted.Load() != 1 || p.cut.Load() != 0 {
		t.Errorf("counted %d connections, %d cut", p.accepted.Load(), p.cut.Load())
	}
}

func TestAConnectionIsCutAfterItsLifetime(t *testing.T) {
	p := &proxy{target: echoServer(t), open: map[*connection]struct{}{}}
	p.weather.cutBytes, p.weather.random = 1, rand.New(rand.NewSource(1))
	client := through(t, p)
	client.Write(make([]byte, 4*segmentBytes))
	received, err := io.Copy(io.Discard, client)
	if err == nil && received == 4*segmentBytes {
		t.Error("all bytes came back")
	}
	if p.cut.Load() != 1 {
		t.Errorf("counted %d cuts", p.cut.Load())
	}
}
