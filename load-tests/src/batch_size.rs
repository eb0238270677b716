//! How many points a request carries.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::mix::Dice;
use crate::run::BATCH_POINTS_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BatchSizeText", into = "BatchSizeText")]
pub enum BatchSize {
    /// From 1 to 1,000, three quarters of the requests between 50 and 200.
    Mixed,
    Fixed(u32),
}

/// As it is written: a number, or a word.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum BatchSizeText {
    Points(u32),
    Word(String),
}

impl From<BatchSize> for BatchSizeText {
    fn from(size: BatchSize) -> Self {
        match size {
            BatchSize::Mixed => Self::Word("mixed".to_owned()),
            BatchSize::Fixed(points) => Self::Points(points),
        }
    }
}

impl TryFrom<BatchSizeText> for BatchSize {
    type Error = &'static str;

    fn try_from(text: BatchSizeText) -> Result<Self, Self::Error> {
        match text {
            BatchSizeText::Points(points) => Ok(Self::Fixed(points)),
            BatchSizeText::Word(word) => word.parse(),
        }
    }
}

impl FromStr for BatchSize {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "mixed" => Ok(Self::Mixed),
            _ => text.parse().map(Self::Fixed).map_err(|_| "must be a number of points, or \"mixed\""),
        }
    }
}

impl BatchSize {
    pub(crate) fn points(self, dice: &mut Dice) -> usize {
        let points = match self {
            Self::Fixed(points) => points,
            Self::Mixed => match dice.below(100) {
                0..4 => 1,
                4..14 => 2 + dice.below(48),
                14..89 => 50 + dice.below(151),
                89..97 => 201 + dice.below(400),
                97..99 => 601 + dice.below(399),
                _ => BATCH_POINTS_MAX,
            },
        };
        points as usize
    }
}
