package import T4Core

// Answers of the KV service. Each is written twice: at the top with a full header, and inside a transaction, where the
// header holds nothing but the revision (and that of an inner transaction's own answer nothing at all), as in etcd.

extension RangeResponse {
    /// Appends `etcdserverpb.RangeResponse`.
    package func append(to bytes: inout [UInt8], from origin: ResponseOrigin) {
        let header = ResponseHeader(origin: origin, revision: revision)
        bytes.appendMessage(size: protobufSize(header)) { put(header, to: &$0) }
    }

    func protobufSize(_ header: ResponseHeader) -> Int {
        var size = header.fieldSize + ProtoSize.field(more) + ProtoSize.field(count)
        for index in kvs.indices { size += ProtoSize.message(kvs[index].protobufSize) }
        return size
    }

    func put(_ header: ResponseHeader, to output: inout OutputSpan<UInt8>) {
        header.put(to: &output)
        for index in kvs.indices { kvs[index].put(field: 2, to: &output) }
        output.put(more, field: 3)
        output.put(count, field: 4)
    }
}

extension PutResponse {
    /// Appends `etcdserverpb.PutResponse`.
    package func append(to bytes: inout [UInt8], from origin: ResponseOrigin) {
        let header = ResponseHeader(origin: origin, revision: revision)
        bytes.appendMessage(size: protobufSize(header)) { put(header, to: &$0) }
    }

    func protobufSize(_ header: ResponseHeader) -> Int {
        header.fieldSize + (previous.map { ProtoSize.message($0.protobufSize) } ?? 0)
    }

    func put(_ header: ResponseHeader, to output: inout OutputSpan<UInt8>) {
        header.put(to: &output)
        previous?.put(field: 2, to: &output)
    }
}

extension DeleteRangeResponse {
    /// Appends `etcdserverpb.DeleteRangeResponse`.
    package func append(to bytes: inout [UInt8], from origin: ResponseOrigin) {
        let header = ResponseHeader(origin: origin, revision: revision)
        bytes.appendMessage(size: protobufSize(header)) { put(header, to: &$0) }
    }

    func protobufSize(_ header: ResponseHeader) -> Int {
        var size = header.fieldSize + ProtoSize.field(deleted)
        for index in previous.indices { size += ProtoSize.message(previous[index].protobufSize) }
        return size
    }

    func put(_ header: ResponseHeader, to output: inout OutputSpan<UInt8>) {
        header.put(to: &output)
        output.put(deleted, field: 2)
        for index in previous.indices { previous[index].put(field: 3, to: &output) }
    }
}

extension TxnResponse {
    /// Appends `etcdserverpb.TxnResponse`.
    package func append(to bytes: inout [UInt8], from origin: ResponseOrigin) {
        let header = ResponseHeader(origin: origin, revision: revision)
        bytes.appendMessage(size: protobufSize(header)) { put(header, to: &$0) }
    }

    func protobufSize(_ header: ResponseHeader) -> Int {
        var size = header.fieldSize + ProtoSize.field(succeeded)
        for response in responses { size += ProtoSize.message(response.protobufSize) }
        return size
    }

    func put(_ header: ResponseHeader, to output: inout OutputSpan<UInt8>) {
        header.put(to: &output)
        output.put(succeeded, field: 2)
        for response in responses {
            output.putMessage(size: response.protobufSize, field: 3)
            response.put(to: &output)
        }
    }
}

extension ResponseOperation {
    /// Bytes of `etcdserverpb.ResponseOp`.
    fileprivate var protobufSize: Int { ProtoSize.message(contentSize) }

    private var contentSize: Int {
        switch self {
        case .range(let range): range.protobufSize(.inTransaction(range.revision))
        case .put(let put): put.protobufSize(.inTransaction(put.revision))
        case .deleteRange(let delete): delete.protobufSize(.inTransaction(delete.revision))
        case .txn(let txn): txn.protobufSize(.empty)
        }
    }

    fileprivate func put(to output: inout OutputSpan<UInt8>) {
        let size = contentSize
        switch self {
        case .range(let range):
            output.putMessage(size: size, field: 1)
            range.put(.inTransaction(range.revision), to: &output)
        case .put(let put):
            output.putMessage(size: size, field: 2)
            put.put(.inTransaction(put.revision), to: &output)
        case .deleteRange(let delete):
            output.putMessage(size: size, field: 3)
            delete.put(.inTransaction(delete.revision), to: &output)
        case .txn(let txn):
            output.putMessage(size: size, field: 4)
            txn.put(.empty, to: &output)
        }
    }
}
