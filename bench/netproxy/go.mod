module starling.bench/netproxy

go 1.19
