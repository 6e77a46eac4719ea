package import T4Core

/// `etcdserverpb.LeaseKeepAliveRequest`.
package struct LeaseKeepAliveRequest: Hashable, Sendable {
    /// The lease to renew.
    package var id: Int64

    /// Decodes the message.
    /// - Throws: `.malformed`.
    package init(protobuf bytes: RawSpan) throws(WireFailure) {
        id = 0
        var bytes = bytes
        while let tag = try bytes.nextTag() {
            if tag == 0x08 { id = try bytes.nextInt64() } else { try bytes.skipField(tag) }
        }
    }
}

/// `etcdserverpb.LeaseKeepAliveResponse`.
package struct LeaseKeepAliveResponse: Hashable, Sendable {
    /// The store's revision before the renewal.
    package var revision: Revision
    /// The lease.
    package var id: Int64
    /// Seconds from now; 0: there is no such lease.
    package var ttl: Int64

    /// Fills in an answer.
    package init(revision: Revision, id: Int64, ttl: Int64) {
        self.revision = revision
        self.id = id
        self.ttl = ttl
    }

    /// Appends the message.
    package func append(to bytes: inout [UInt8], from origin: ResponseOrigin) {
        let header = ResponseHeader(origin: origin, revision: revision)
        let size = header.fieldSize + ProtoSize.field(id) + ProtoSize.field(ttl)
        bytes.appendMessage(size: size) { output in
            header.put(to: &output)
            output.put(id, field: 2)
            output.put(ttl, field: 3)
        }
    }
}
