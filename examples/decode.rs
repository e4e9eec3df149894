//! How much of llama.cpp's speed is left after sampling: llmc's embedded model against a bare decode loop.
//!
//! `cargo run --example decode -- MODEL.gguf [ROUNDS] [THREADS] [TOKENS] [SEQUENCES…]`. Both run in turn in one process on one file: a
//! prompt of about 128 tokens shared by 1, 8 and 16 sequences, 128 tokens each where no other numbers are given. The bare loop does what llama.cpp's
//! batched benchmark does: it decodes fixed tokens and looks at no logits.

use std::error::Error;
use std::io::{Write as _, stdout};
use std::mem::ManuallyDrop;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Instant;

use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use llmc::model::embedded::{Embedded, Options};
use llmc::model::{Drawn, Model as _, Parameters, Request};
use llmc::prompt::Prompt;

const PROMPT: i32 = 128;

struct Speed {
    prefill: f64,
    decode: f64,
    decode_cpu: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: decode MODEL.gguf [ROUNDS] [THREADS] [TOKENS] [SEQUENCES…]")?;
    let rounds: usize = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let threads = arguments.next().map_or(Ok(Options::default().threads), |text| text.parse())?;
    let answer: i32 = arguments.next().map_or(Ok(128), |text| text.parse())?;
    let mut sequences: Vec<i32> = arguments.map(|text| text.parse()).collect::<Result<_, _>>()?;
    if sequences.is_empty() {
        sequences = vec![1, 8, 16];
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let options = Options { threads, ..Options::default() };
    let embedded = runtime.block_on(Embedded::load(Path::new(&path), "unknown", "bench", &options))?;

    // The engine set llama.cpp up; this is only the token that its wrapper asks for, and must not tear it down.
    let backend = ManuallyDrop::new(LlamaBackend {});
    let model = LlamaModel::load_from_file(&backend, &path, &LlamaModelParams::default())?;
    let mut out = stdout();
    writeln!(
        out,
        "{threads} threads; tokens per second, and per second of CPU time, which a busy machine disturbs less"
    )?;
    for sequences in sequences {
        let mut ratios = Vec::new();
        for round in 0..rounds {
            let mut tell = |what: &str, speed: &Speed| {
                writeln!(
                    out,
                    "{sequences:2} sequences, {what:24} {:6.1} (CPU {:6.1}), prefill {:6.1}",
                    speed.decode, speed.decode_cpu, speed.prefill
                )
            };
            let plain = bare(&backend, &model, sequences, threads, answer, Layout { unified: false, flash: -1 })?;
            tell("bare loop", &plain)?;
            let ours = runtime.block_on(ours(&embedded, sequences, round, answer))?;
            tell("llmc", &ours)?;
            if round == 0 {
                let unified = Layout { unified: true, flash: -1 };
                tell("bare, one cache for all", &bare(&backend, &model, sequences, threads, answer, unified)?)?;
                let slow = Layout { unified: false, flash: 0 };
                tell("bare, no flash attention", &bare(&backend, &model, sequences, threads, answer, slow)?)?;
            }
            ratios.push((ours.decode / plain.decode, ours.decode_cpu / plain.decode_cpu));
        }
        let median = |mut ratios: Vec<f64>| {
            ratios.sort_by(f64::total_cmp);
            ratios[ratios.len() / 2]
        };
        let (wall, cpu) = ratios.into_iter().unzip();
        writeln!(out, "{sequences:2} sequences: median ratio {:.3} (CPU {:.3})", median(wall), median(cpu))?;
    }
    Ok(())
}

/// How the bare loop keeps what it computed.
struct Layout {
    unified: bool,
    /// llama.cpp's number: -1 lets it choose, 0 never, 1 always.
    flash: i32,
}

/// CPU time of this process so far, in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // User and system time, in hundredths.
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn bare(
    backend: &LlamaBackend,
    model: &LlamaModel,
    sequences: i32,
    threads: usize,
    answer: i32,
    layout: Layout,
) -> Result<Speed, Box<dyn Error>> {
    let cells = if layout.unified { PROMPT + sequences * answer } else { sequences * (PROMPT + answer) };
    let parameters = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(cells as u32))
        .with_n_batch(2048)
        .with_n_ubatch(512)
        .with_n_seq_max(sequences as u32)
        .with_n_threads(threads as i32)
        .with_n_threads_batch(threads as i32)
        .with_kv_unified(layout.unified)
        .with_flash_attention_policy(layout.flash)
        .with_no_perf(true);
    let mut context = model.new_context(backend, parameters)?;
    let mut batch = LlamaBatch::new(2048, 1);
    let started = Instant::now();
    for position in 0..PROMPT {
        batch.add(LlamaToken(1000 + position), position, &[0], position + 1 == PROMPT)?;
    }
    context.decode(&mut batch)?;
    context.synchronize();
    let prefill = f64::from(PROMPT) / started.elapsed().as_secs_f64();
    for sequence in 1..sequences {
        context.copy_kv_cache_seq(0, sequence, None, None)?;
    }
    let (started, cpu) = (Instant::now(), cpu_seconds());
    for step in 0..answer {
        batch.clear();
        for sequence in 0..sequences {
            batch.add(LlamaToken(2000 + step * 16 + sequence), PROMPT + step, &[sequence], true)?;
        }
        context.decode(&mut batch)?;
        context.synchronize();
    }
    let tokens = f64::from(sequences * answer);
    let decode = tokens / started.elapsed().as_secs_f64();
    Ok(Speed { prefill, decode, decode_cpu: tokens / (cpu_seconds() - cpu) })
}

async fn ours(embedded: &Embedded, sequences: i32, round: usize, answer: i32) -> Result<Speed, Box<dyn Error>> {
    let user = format!(
        "Tell me everything about the number {round}{sequences}. {}Write at least two thousand words, as one long \
         essay without headings, and never stop early.",
        "Mind the history, the people, the places, the mistakes and the hopes that belong to it. ".repeat(4)
    );
    let prompt = Prompt {
        template: "bench".into(),
        template_digest: String::new(),
        system: "You are an essayist.".into(),
        user,
        opening: String::new(),
        continuation: None,
    };
    let parameters =
        Parameters { temperature: Some(0.8), top_p: 0.95, max_tokens: Some(answer as usize), seed: round as u64 };
    // The first draw computes the prompt, the second finds it there.
    let (count, prompt_tokens, seconds) =
        draw(embedded, &prompt, &Parameters { max_tokens: Some(1), ..parameters.clone() }, 1).await?;
    debug_assert_eq!(count, 1);
    let prefill = prompt_tokens as f64 / seconds;
    let cpu = cpu_seconds();
    let (tokens, _, seconds) = draw(embedded, &prompt, &parameters, sequences as usize).await?;
    Ok(Speed { prefill, decode: tokens as f64 / seconds, decode_cpu: tokens as f64 / (cpu_seconds() - cpu) })
}

async fn draw(
    embedded: &Embedded,
    prompt: &Prompt,
    parameters: &Parameters,
    count: usize,
) -> Result<(usize, usize, f64), Box<dyn Error>> {
    let (sink, mut drawn) = tokio::sync::mpsc::unbounded_channel();
    let request = Request::new(prompt, parameters, 0, count);
    let started = Instant::now();
    embedded.draw(&request, sink).await?;
    let seconds = started.elapsed().as_secs_f64();
    let (mut tokens, mut prompt_tokens) = (0, 0);
    while let Ok(drawn) = drawn.try_recv() {
        if let Drawn::Sample(completion) = drawn {
            tokens += completion.completion_tokens;
            prompt_tokens = completion.prompt_tokens;
        }
    }
    Ok((tokens, prompt_tokens, seconds))
}
