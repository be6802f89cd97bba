//! The fuzz target's rules over seeded bytes, so that every test run has some of it.

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::hostile::recover;
use crate::world::block_on;

#[test]
fn any_bytes_open_or_are_refused_and_the_log_goes_on() {
    block_on(async {
        for seed in 0..400 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut input = vec![0; random.random_range(1..100)];
            random.fill_bytes(&mut input);
            recover(&input).await;
        }
    });
}
