import T4Core

/// A leaf or a branch of a bbolt file, with the pages that continue it, all of whose places have been checked.
struct BoltPage: Sendable {
    /// A row, or a bucket with what says where it lies.
    struct Element {
        var isBucket: Bool
        var key: [UInt8]
        var value: [UInt8]
    }

    let isLeaf: Bool
    /// Elements.
    let count: Int
    private let bytes: [UInt8]

    /// Checks the bytes of a page.
    /// - Parameter name: For messages.
    init(_ bytes: [UInt8], name: String) throws {
        guard bytes.count >= BoltFile.headerBytes else {
            throw BoltDatabase.Failure("\(name) has no room for a header")
        }
        let flags: UInt16 = bytes.littleEndian(at: 8)
        guard let kind = BoltFile.PageKind(rawValue: flags), kind == .leaf || kind == .branch else {
            throw BoltDatabase.Failure("\(name) is neither leaf nor branch, its flags are \(flags)")
        }
        self.bytes = bytes
        isLeaf = kind == .leaf
        count = Int(bytes.littleEndian(at: 10) as UInt16)
        guard BoltFile.headerBytes + count * BoltFile.elementBytes <= bytes.count else {
            throw BoltDatabase.Failure("\(name) has no room for \(count) elements")
        }
        for number in 0..<count {
            let place = places(number)
            guard place.key.upperBound + place.valueBytes <= bytes.count else {
                throw BoltDatabase.Failure("element \(number) of \(name) reaches out of it")
            }
        }
    }

    /// Where an element's key lies, and bytes of the value behind it.
    private func places(_ number: Int) -> (key: Range<Int>, valueBytes: Int) {
        let element = BoltFile.headerBytes + number * BoltFile.elementBytes
        // Of a leaf the flags come first.
        let numbers = isLeaf ? element + 4 : element
        let start = element + Int(bytes.littleEndian(at: numbers) as UInt32)
        let keyBytes = Int(bytes.littleEndian(at: numbers + 4) as UInt32)
        let valueBytes = isLeaf ? Int(bytes.littleEndian(at: numbers + 8) as UInt32) : 0
        return (start..<start + keyBytes, valueBytes)
    }

    /// An element of a leaf.
    func element(_ number: Int) -> Element {
        let place = places(number)
        let flags: UInt32 = bytes.littleEndian(at: BoltFile.headerBytes + number * BoltFile.elementBytes)
        return Element(
            isBucket: flags & BoltFile.bucketFlag != 0, key: Array(bytes[place.key]),
            value: Array(bytes[place.key.upperBound..<place.key.upperBound + place.valueBytes]))
    }

    /// The page below an element of a branch.
    func child(_ number: Int) -> UInt64 {
        bytes.littleEndian(at: BoltFile.headerBytes + number * BoltFile.elementBytes + 8)
    }
}
