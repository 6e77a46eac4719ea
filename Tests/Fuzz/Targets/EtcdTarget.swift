import CodingReference
import T4Core

@testable import T4Server

extension FuzzTarget {
    /// Databases of etcd. After an odd first byte the checksums of the first two pages are made right, so that the change
    /// gets past them.
    static let etcd = FuzzTarget(name: "etcd") { input in
        guard let choice = input.first else { return }
        var bytes = Array(input.dropFirst())
        if choice & 1 == 1 { mend(&bytes) }
        do {
            let snapshot = try EtcdSnapshot(MemoryFile(bytes), checksHash: false)
            guard let keys = snapshot.keys else { return }
            var cursor = try snapshot.database.cursor(keys)
            var last = Revision.none
            while let row = try cursor.next() {
                let version = try EtcdVersion(row)
                try FuzzFailure.unless(version.record.mod >= last, "revisions go back")
                last = version.record.mod
            }
        } catch is BoltDatabase.Failure {}
    }

    private static func mend(_ bytes: inout [UInt8]) {
        for start in [16, BoltFile.pageBytes + 16] where start + BoltFile.metaBytes <= bytes.count {
            let sum = bytes[start..<start + BoltFile.metaBytes - 8].reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
                ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3
            }
            for byte in 0..<8 {
                bytes[start + BoltFile.metaBytes - 8 + byte] = UInt8(truncatingIfNeeded: sum >> (byte * 8))
            }
        }
    }
}
