//! A random walk learned by true online TD(lambda), in Rust: Sutton & Barto 2018, example 7.1.
//!
//! `TrueOnlineTd` owns the memory that the C functions work on.  Exits with 1 where values are far from the truth.

mod fasttrace {
    use std::ptr;

    const TRUE_ONLINE: i32 = 4; // FT_TRUE_ONLINE
    const ABI: i32 = 1; // FT_ABI_VERSION that the numbers here are of

    /// ft_trace, of which only C knows the fields: 25 of 8 bytes.
    #[repr(C, align(8))]
    struct Trace([u64; 25]);

    #[repr(C, align(64))]
    #[derive(Clone, Copy)]
    struct Line([f64; 8]);

    extern "C" {
        fn ft_abi_version() -> i32;
        fn ft_trace_ring_size(n: i64) -> i64;
        fn ft_trace_init(
            trace: *mut Trace,
            n: i64,
            columns: i64,
            rows: *mut Line,
            ring: *mut Line,
            epochs: *mut i32,
        );
        fn ft_trace_dense(trace: *const Trace, kind: i32, w: *mut f64, z: *mut f64);
        fn ft_td_step(
            trace: *mut Trace,
            kind: i32,
            k: i64,
            idx: *const i32,
            val: *const f64,
            k_next: i64,
            idx_next: *const i32,
            val_next: *const f64,
            reward: f64,
            gamma_next: f64,
            lambda_next: f64,
            rho: f64,
            alpha: f64,
            delta: *mut f64,
        ) -> i32;
    }

    #[derive(Debug)]
    pub struct Refused {
        pub status: i32,
    }

    pub struct TrueOnlineTd {
        pub alpha: f64,
        n: usize,
        trace: Trace,
        _rows: Vec<Line>, // what the trace points to
        _ring: Vec<Line>,
        _epochs: Vec<i32>,
    }

    impl TrueOnlineTd {
        pub fn new(n: usize, alpha: f64) -> Self {
            assert_eq!(
                unsafe { ft_abi_version() },
                ABI,
                "this program was written for another fasttrace"
            );
            let lines = |doubles: usize| vec![Line([0.0; 8]); (doubles + 7) / 8];
            let (mut rows, mut epochs) = (lines(2 * n), vec![0; n]);
            let mut ring = lines(2 * unsafe { ft_trace_ring_size(n as i64) } as usize);
            let mut trace = Trace([0; 25]);
            unsafe {
                ft_trace_init(
                    &mut trace,
                    n as i64,
                    1,
                    rows.as_mut_ptr(),
                    ring.as_mut_ptr(),
                    epochs.as_mut_ptr(),
                );
            }
            Self {
                alpha,
                n,
                trace,
                _rows: rows,
                _ring: ring,
                _epochs: epochs,
            }
        }

        /// Learn from one transition; the TD error.
        pub fn step(
            &mut self,
            x: &[i32],
            reward: f64,
            x_next: &[i32],
            gamma: f64,
            lambda: f64,
        ) -> Result<f64, Refused> {
            let mut delta = 0.0;
            let status = unsafe {
                ft_td_step(
                    &mut self.trace,
                    TRUE_ONLINE,
                    x.len() as i64,
                    x.as_ptr(),
                    ptr::null(),
                    x_next.len() as i64,
                    x_next.as_ptr(),
                    ptr::null(),
                    reward,
                    gamma,
                    lambda,
                    1.0,
                    self.alpha,
                    &mut delta,
                )
            };
            if status == 0 {
                Ok(delta)
            } else {
                Err(Refused { status })
            }
        }

        pub fn weights(&self) -> Vec<f64> {
            let (mut w, mut z) = (vec![0.0; self.n], vec![0.0; self.n]);
            unsafe { ft_trace_dense(&self.trace, TRUE_ONLINE, w.as_mut_ptr(), z.as_mut_ptr()) };
            w
        }
    }
}

use fasttrace::TrueOnlineTd;

const STATES: i32 = 19;

fn main() {
    let mut learner = TrueOnlineTd::new(STATES as usize, 0.02);
    let mut random = 1u64;
    for _ in 0..2000 {
        let mut s = STATES / 2;
        loop {
            random = random
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let next = if random >> 63 == 0 { s - 1 } else { s + 1 };
            let over = next < 0 || next == STATES;
            let reward = if !over {
                0.0
            } else if next < 0 {
                -1.0
            } else {
                1.0
            };
            let x_next = [next]; // of which there is none in the end
            let x_next = &x_next[..usize::from(!over)];
            learner
                .step(&[s], reward, x_next, if over { 0.0 } else { 1.0 }, 0.8)
                .expect("a good step");
            if over {
                break;
            }
            s = next;
        }
    }
    let bad = learner.step(&[STATES], 0.0, &[], 0.0, 0.8);
    assert_eq!(
        bad.unwrap_err().status,
        -1,
        "of a feature that is not there"
    );

    let truth = |s: usize| (s as f64 + 1.0) / 10.0 - 1.0;
    let w = learner.weights();
    let worst = w
        .iter()
        .enumerate()
        .map(|(s, w)| (w - truth(s)).abs())
        .fold(0.0, f64::max);
    for s in (0..w.len()).step_by(3) {
        println!("state {s:2}: {:6.3}, true {:6.3}", w[s], truth(s));
    }
    println!("largest error {worst:.3}");
    std::process::exit(i32::from(worst > 0.2));
}
