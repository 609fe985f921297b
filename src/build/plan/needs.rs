//! What stages need of each other, and in which order that puts them.

use super::{Origin, Plan, Stage};
use crate::build::error::{Error, Fault};
use crate::dockerfile::{self, Instruction, Span};

impl Plan {
    /// What `--from` means in stage `current`: a named context, a stage by name or number, else an
    /// image.
    pub(in crate::build) fn origin(&self, current: usize, from: &str) -> Result<Origin, Fault> {
        if self.contexts.iter().any(|name| name == from) {
            return Ok(Origin::Context(from.to_owned()));
        }
        match self.stage_meant(current, from)? {
            Some(stage) if stage < current => Ok(Origin::Stage(stage)),
            Some(stage) if stage == current => Err(Fault::CircularStage(self.full_title(current))),
            Some(_) => Err(Fault::LaterStage {
                wanted: from.to_owned(),
                current: self.full_title(current),
            }),
            None if from == "scratch" => Ok(Origin::Scratch),
            None => self.image_named(from).map(Origin::Image),
        }
    }

    /// The stage that `--from` names, be it before `current` or not.
    fn stage_meant(&self, current: usize, from: &str) -> Result<Option<usize>, Fault> {
        let lower = from.to_lowercase();
        let named = |stage: &Stage| stage.name.as_deref() == Some(lower.as_str());
        let before = self.stages[..current].iter().rposition(named);
        let after = || self.stages.iter().skip(current).position(named).map(|at| current + at);
        if let Some(stage) = before.or_else(after) {
            return Ok(Some(stage));
        }
        let Ok(number) = from.parse::<i64>() else { return Ok(None) };
        let stage = usize::try_from(number).ok().filter(|stage| *stage < self.stages.len());
        stage.map(Some).ok_or(Fault::StageIndex(number))
    }

    /// As in the reference, stages that need each other are an error of the file, whether the target
    /// needs them or not. What a stage stands on does not count: that is always an earlier one.
    pub(super) fn refuse_circles(&self) -> Result<(), Error> {
        let mut path = Vec::new();
        let mut seen = vec![false; self.stages.len()];
        for number in 0..self.stages.len() {
            if let Some(span) = self.circle(number, &mut seen, &mut path)? {
                return Err(Error::at(span, Fault::CircularStage(self.full_title(number))));
            }
        }
        Ok(())
    }

    /// Where a stage begins a way that comes back to itself.
    fn circle(
        &self,
        number: usize,
        seen: &mut [bool],
        path: &mut Vec<usize>,
    ) -> Result<Option<Span>, Error> {
        if std::mem::replace(&mut seen[number], true) {
            return Ok(None);
        }
        path.push(number);
        for step in &self.stages[number].steps {
            for from in froms(&step.value) {
                let is_number =
                    matches!(step.value, Instruction::Run(_)) && from.parse::<i64>().is_ok();
                if is_number || self.contexts.contains(&from) {
                    continue;
                }
                let stage = self.stage_meant(number, &from);
                let Some(stage) = stage.map_err(|fault| Error::at(step.span, fault))? else {
                    continue;
                };
                if path.contains(&stage) || self.circle(stage, seen, path)?.is_some() {
                    return Ok(Some(step.span));
                }
            }
        }
        path.pop();
        Ok(None)
    }

    /// What `from` of a mount in stage `current` means: as [`Self::origin`], but a number is the name
    /// of an image, as in the reference.
    pub(in crate::build) fn mount_origin(
        &self,
        current: usize,
        from: &str,
    ) -> Result<Origin, Fault> {
        match from.parse::<i64>() {
            Ok(_) => self.image_named(from).map(Origin::Image),
            Err(_) => self.origin(current, from),
        }
    }

    /// All that an instruction of stage `current` reads from beside the stage itself.
    pub(in crate::build) fn origins(
        &self,
        current: usize,
        instruction: &Instruction,
    ) -> Result<Vec<Origin>, Fault> {
        let is_mount = matches!(instruction, Instruction::Run(_));
        let origin = |from: String| match is_mount {
            true => self.mount_origin(current, &from),
            false => self.origin(current, &from),
        };
        froms(instruction).into_iter().map(origin).collect()
    }

    /// The stages that the target needs, each after those it needs itself. Triggers of base images
    /// may ask for more when they run.
    pub(in crate::build) fn order(&self) -> Result<Vec<usize>, Error> {
        let mut order = Vec::new();
        self.visit(self.target, &mut order)?;
        Ok(order)
    }

    fn visit(&self, number: usize, order: &mut Vec<usize>) -> Result<(), Error> {
        // A stage can only name earlier ones, so this ends.
        if order.contains(&number) {
            return Ok(());
        }
        let stage = &self.stages[number];
        if let Origin::Stage(base) = stage.base {
            self.visit(base, order)?;
        }
        for step in &stage.steps {
            let origins =
                self.origins(number, &step.value).map_err(|fault| Error::at(step.span, fault))?;
            for origin in origins {
                if let Origin::Stage(needed) = origin {
                    self.visit(needed, order)?;
                }
            }
        }
        order.push(number);
        Ok(())
    }
}

/// The words that name what else an instruction reads from.
fn froms(instruction: &Instruction) -> Vec<String> {
    match instruction {
        Instruction::Copy(copy) => copy.from.iter().cloned().collect(),
        Instruction::Run(run) => {
            run.mounts.iter().filter_map(|text| dockerfile::Mount::from(text)).collect()
        }
        _ => Vec::new(),
    }
}
