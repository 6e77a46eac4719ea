import CodingReference
import EtcdAPI
import T4Core
import T4Server

/// The decoders of requests beside the generated ones. The first byte chooses the message.
extension FuzzTarget {
    static let requests = FuzzTarget(name: "requests") { input in
        guard let choice = input.first else { return }
        let bytes = Array(input.dropFirst())
        if let difference = comparisons[Int(choice) % comparisons.count](bytes) { throw FuzzFailure(difference) }
    }

    private static let comparisons: [@Sendable ([UInt8]) -> String?] = [
        { bytes in
            DecodingComparison(
                decode: RangeRequest.init(protobuf:), expected: expected as (EtcdRangeRequest) throws -> RangeRequest
            ).difference(bytes)
        },
        { bytes in
            DecodingComparison(
                decode: PutRequest.init(protobuf:), expected: expected as (EtcdPutRequest) -> PutRequest
            ).difference(bytes)
        },
        { bytes in
            DecodingComparison(
                decode: DeleteRangeRequest.init(protobuf:),
                expected: expected as (EtcdDeleteRangeRequest) -> DeleteRangeRequest
            ).difference(bytes)
        },
        { bytes in
            DecodingComparison(
                decode: TxnRequest.init(protobuf:), expected: expected as (EtcdTxnRequest) throws -> TxnRequest
            ).difference(bytes)
        },
        { bytes in
            DecodingComparison(
                decode: CompactionRequest.init(protobuf:),
                expected: expected as (EtcdCompactionRequest) -> CompactionRequest
            ).difference(bytes)
        },
        { bytes in
            DecodingComparison(
                decode: WatchStreamRequest.init(protobuf:),
                expected: expected as (EtcdWatchRequest) -> WatchStreamRequest
            ).difference(bytes)
        },
        { bytes in
            DecodingComparison(
                decode: { (bytes: RawSpan) throws(WireFailure) in try LeaseKeepAliveRequest(protobuf: bytes).id },
                expected: { (message: EtcdLeaseKeepAliveRequest) in message.id }
            ).difference(bytes)
        },
    ]
}
