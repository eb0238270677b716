//! Records in the name of a producer that is at work, so that Kafka refuses what that one sends next.
//!
//! No client of Kafka's would do this, so the two requests are written here byte by byte, for one broker that
//! leads every partition.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, ensure};

const TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 1 << 20;
const CORRELATION_ID: i32 = 1;
const NO_CLIENT_ID: i16 = -1;

/// A producer as a partition knows it.
#[derive(Debug)]
struct Producer {
    id: i64,
    epoch: i32,
    last_sequence: i32,
    last_timestamp: i64,
}

/// Appends empty records in the name of the partition's latest producer. Their sequence numbers are those of its
/// next records, which then come out of order; there have to be more of them than that producer sends at once,
/// or its own records would be taken for a repetition and lost.
pub fn append(broker: &str, topic: &str, partition: i32, records: i32) -> anyhow::Result<()> {
    /// A record of the producer's own may come in between; then these are out of order themselves.
    const TRIES: u32 = 200;
    ensure!(records > 0, "at least one record is needed");
    let mut stream = TcpStream::connect(broker).with_context(|| format!("connecting to {broker}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut error = 0;
    for _ in 0..TRIES {
        let producer = latest_producer(&mut stream, topic, partition)?;
        error = produce(&mut stream, topic, partition, &batch(&producer, records))?;
        if error == 0 {
            return Ok(());
        }
    }
    anyhow::bail!("refused {TRIES} times, with Kafka's error {error} in the end")
}

/// DescribeProducers, version 0.
fn latest_producer(stream: &mut TcpStream, topic: &str, partition: i32) -> anyhow::Result<Producer> {
    const DESCRIBE_PRODUCERS: i16 = 61;
    let mut request = header(DESCRIBE_PRODUCERS, 0);
    request.push(NO_TAGS);
    request.extend(compact_length(1));
    request.extend(compact_length(topic.len()));
    request.extend(topic.as_bytes());
    request.extend(compact_length(1));
    request.extend(partition.to_be_bytes());
    request.extend([NO_TAGS; 2]);

    let answer = ask(stream, &request)?;
    let mut answer = Answer(&answer);
    answer.skip(4 + 1)?; // correlation id, tags
    answer.skip(4)?; // throttle time
    ensure!(answer.compact_length()? == 1, "an answer for one topic");
    let name = answer.compact_length()?;
    answer.skip(name)?;
    ensure!(answer.compact_length()? == 1, "an answer for one partition");
    answer.skip(4)?;
    let error = i16::from_be_bytes(answer.take()?);
    ensure!(error == 0, "{topic}/{partition}: Kafka's error {error}");
    let message = answer.compact_length()?;
    answer.skip(message)?;
    let mut producers = Vec::new();
    for _ in 0..answer.compact_length()? {
        producers.push(Producer {
            id: i64::from_be_bytes(answer.take()?),
            epoch: i32::from_be_bytes(answer.take()?),
            last_sequence: i32::from_be_bytes(answer.take()?),
            last_timestamp: i64::from_be_bytes(answer.take()?),
        });
        answer.skip(4 + 8 + 1)?; // the coordinator's epoch, the transaction's start, tags
    }
    let latest = producers.into_iter().max_by_key(|producer| producer.last_timestamp);
    latest.with_context(|| format!("{topic}/{partition} knows no producer"))
}

/// Produce, version 3, with all acknowledgements. Returns Kafka's error code.
fn produce(stream: &mut TcpStream, topic: &str, partition: i32, batch: &[u8]) -> anyhow::Result<i16> {
    const PRODUCE: i16 = 0;
    const NO_TRANSACTION: i16 = -1;
    const ALL: i16 = -1;
    let mut request = header(PRODUCE, 3);
    request.extend(NO_TRANSACTION.to_be_bytes());
    request.extend(ALL.to_be_bytes());
    request.extend(i32::try_from(TIMEOUT.as_millis())?.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(i16::try_from(topic.len())?.to_be_bytes());
    request.extend(topic.as_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(partition.to_be_bytes());
    request.extend(i32::try_from(batch.len())?.to_be_bytes());
    request.extend(batch);

    let answer = ask(stream, &request)?;
    let mut answer = Answer(&answer);
    answer.skip(4 + 4)?; // correlation id, number of topics
    let name = i16::from_be_bytes(answer.take()?);
    answer.skip(usize::try_from(name)? + 4 + 4)?; // the topic, number of partitions, the partition
    Ok(i16::from_be_bytes(answer.take()?))
}

/// A batch of records without key and value, in Kafka's format 2.
fn batch(producer: &Producer, records: i32) -> Vec<u8> {
    const FORMAT: u8 = 2;
    const LEADER_EPOCH: i32 = -1;
    let mut checked = Vec::new();
    checked.extend(0_i16.to_be_bytes()); // attributes: neither compressed nor of a transaction
    checked.extend((records - 1).to_be_bytes());
    checked.extend(producer.last_timestamp.to_be_bytes());
    checked.extend(producer.last_timestamp.to_be_bytes());
    checked.extend(producer.id.to_be_bytes());
    checked.extend((producer.epoch as i16).to_be_bytes());
    checked.extend(producer.last_sequence.wrapping_add(1).to_be_bytes());
    checked.extend(records.to_be_bytes());
    for offset in 0..records {
        let mut record = vec![0]; // attributes
        record.extend(varint(0)); // the time after the batch's
        record.extend(varint(offset));
        record.extend(varint(-1)); // no key
        record.extend(varint(0)); // a value without bytes
        record.extend(varint(0)); // no headers
        checked.extend(varint(record.len() as i32));
        checked.extend(record);
    }
    let mut batch = 0_i64.to_be_bytes().to_vec(); // the offset, which Kafka sets
    batch.extend((4 + 1 + 4 + checked.len() as i32).to_be_bytes());
    batch.extend(LEADER_EPOCH.to_be_bytes());
    batch.push(FORMAT);
    batch.extend(crc32c(&checked).to_be_bytes());
    batch.extend(checked);
    batch
}

const NO_TAGS: u8 = 0;

fn header(api: i16, version: i16) -> Vec<u8> {
    let mut header = api.to_be_bytes().to_vec();
    header.extend(version.to_be_bytes());
    header.extend(CORRELATION_ID.to_be_bytes());
    header.extend(NO_CLIENT_ID.to_be_bytes());
    header
}

fn ask(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<Vec<u8>> {
    stream.write_all(&[&i32::try_from(request.len())?.to_be_bytes()[..], request].concat())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).context("waiting for Kafka's answer")?;
    let length = usize::try_from(i32::from_be_bytes(length))?;
    ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).context("reading Kafka's answer")?;
    Ok(answer)
}

/// What is left of an answer.
struct Answer<'a>(&'a [u8]);

impl Answer<'_> {
    fn take<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().context("the answer is too short")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn skip(&mut self, bytes: usize) -> anyhow::Result<()> {
        self.0 = self.0.get(bytes..).context("the answer is too short")?;
        Ok(())
    }

    /// Lengths are sent with one added; 0 stands for nothing at all.
    fn compact_length(&mut self) -> anyhow::Result<usize> {
        let mut length = 0_usize;
        for shift in [0, 7, 14, 21] {
            let [byte] = self.take()?;
            length |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(length.saturating_sub(1));
            }
        }
        anyhow::bail!("a length out of bounds")
    }
}

fn compact_length(length: usize) -> Vec<u8> {
    unsigned_varint(length as u32 + 1)
}

fn varint(number: i32) -> Vec<u8> {
    unsigned_varint(((number << 1) ^ (number >> 31)) as u32)
}

fn unsigned_varint(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn crc32c(bytes: &[u8]) -> u32 {
    const CASTAGNOLI: u32 = 0x82F6_3B78;
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (CASTAGNOLI & 0_u32.wrapping_sub(crc & 1)))
    })
}
