import RPC
import T4Core

// Calls of clients, and the process.
extension Metrics {
    func addCalls(of server: RPCServer, to text: inout PrometheusText) {
        var began: [(labels: PrometheusText.Labels, value: Int)] = []
        var ended: [(labels: PrometheusText.Labels, value: Int)] = []
        var times: [(labels: PrometheusText.Labels, reading: Histogram.Reading)] = []
        let kinds = Dictionary(uniqueKeysWithValues: Method.all.map { ($0.path, $0) })
        for count in server.callCounts {
            guard let method = kinds[count.path] else { continue }
            let labels = [
                ("grpc_method", method.name), ("grpc_service", method.service), ("grpc_type", method.type),
            ]
            began.append((.init(labels), count.began))
            for code in RPCStatus.Code.allCases {
                // As in etcd a method has success from the beginning; other codes come with the first such end.
                guard let number = count.ended[code], number > 0 || code == .ok else { continue }
                ended.append((.init([("grpc_code", code.nameOfGo)] + labels), number))
            }
            let endedCount = count.ended.values.reduce(0, +)
            // There are many methods, and few are called.
            guard endedCount > 0 else { continue }
            let atMost = count.atMost.map { (bound: $0.seconds, count: $0.count) }
            times.append((.init(labels), .init(atMost: atMost, count: endedCount, sum: count.seconds)))
        }
        text.add("grpc_server_started_total", .counter, "Calls that began.", began)
        text.add("grpc_server_handled_total", .counter, "Calls that ended, in whatever way.", ended)
        text.add("grpc_server_handling_seconds", "How long calls took, of methods that were called.", times)
        let counters = server.counters
        text.add(
            "etcd_network_client_grpc_received_bytes_total", .counter, "Bytes received from gRPC clients.",
            counters.bytesReceived)
        text.add(
            "etcd_network_client_grpc_sent_bytes_total", .counter, "Bytes sent to gRPC clients.", counters.bytesSent)
    }

    func addProcess(to text: inout PrometheusText) {
        let numbers = ProcessNumbers()
        if let value = numbers.cpuSeconds {
            text.add("process_cpu_seconds_total", .counter, "Processor time in seconds.", value)
        }
        if let value = numbers.openDescriptors {
            text.add("process_open_fds", .gauge, "Open file descriptors.", value)
            text.add("os_fd_used", .gauge, "Open file descriptors.", value)
        }
        if let value = numbers.descriptorsMax {
            text.add("process_max_fds", .gauge, "File descriptors that may be open.", value)
            text.add("os_fd_limit", .gauge, "File descriptors that may be open.", value)
        }
        if let value = numbers.residentBytes {
            text.add("process_resident_memory_bytes", .gauge, "Resident memory.", value)
        }
        if let value = numbers.virtualBytes {
            text.add("process_virtual_memory_bytes", .gauge, "Virtual memory.", value)
        }
        if let value = numbers.startTime {
            text.add("process_start_time_seconds", .gauge, "Start of the process, in seconds since 1970.", value)
        }
    }
}

extension Method {
    /// As gRPC's metrics call it.
    fileprivate var type: String {
        switch streaming {
        case .none: "unary"
        case .answers: "server_stream"
        case .both: "bidi_stream"
        }
    }
}
